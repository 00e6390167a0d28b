# The texts that the repository keeps, so that they can be read and tested where there is no nix: the page of options,
# and the unit files that tests/machine boots. A test compares them, by hash everywhere and by text where it can.
{
  self,
  pkgs,
  lib,
}:
let
  example = import ./example.nix { inherit self pkgs lib; };
  inherit (example) config;

  # A machine without a store puts its own paths there: @msp-agent@/bin/msp-agent. Names without hash and version, so
  # that another nixpkgs changes nothing.
  portable =
    text:
    lib.concatMapStrings
      (
        part:
        if lib.isString part then part else "@${lib.head (builtins.match "([a-z-]*[a-z]).*" (lib.head part))}@"
      )
      (
        builtins.split "${builtins.storeDir}/[0-9a-z]{32}-([A-Za-z0-9._+-]+)" (
          lib.replaceStrings
            [
              "${config.services.msp-agent.configFile}"
              "${pkgs.coreutils}"
            ]
            [
              "@config@"
              "/usr"
            ]
            (builtins.unsafeDiscardStringContext text)
        )
      );
  # The manager's defaults (PATH, LOCALE_ARCHIVE, TZDIR) name packages of NixOS, which the programs do not use.
  ours = line: builtins.match ''Environment="[A-Z_]+=[^"]*${builtins.storeDir}/.*'' line == null;
  # NixOS links the other names of a unit itself; elsewhere `systemctl enable` does.
  alias = name: lib.concatMapStrings (other: "Alias=${other}\n") config.systemd.units.${name}.aliases;
  unit =
    name:
    let
      lines = lib.filter ours (lib.splitString "\n" config.systemd.units.${name}.text);
    in
    lib.trim (lib.concatStringsSep "\n" lines) + "\n" + alias name;
in
{
  options = import ./options-doc.nix {
    inherit lib;
    inherit (example) options;
  };
  units = lib.genAttrs [
    "msp-agent.service"
    "msp-central.service"
  ] (name: portable (unit name));
}
