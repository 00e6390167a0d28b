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

  # A machine without a store has them where programs are put by hand.
  bare = builtins.unsafeDiscardStringContext;
  places = {
    "${bare "${config.services.msp-agent.package}"}" = "/usr/local";
    "${bare "${config.services.msp-central.package}"}" = "/usr/local";
    "${bare "${config.services.msp-agent.configFile}"}" = "/etc/msp/config.yaml";
    "${bare "${pkgs.coreutils}"}" = "/usr";
    "${bare "${pkgs.nftables}"}/bin" = "/usr/sbin";
  };
  portable = text: lib.replaceStrings (lib.attrNames places) (lib.attrValues places) (bare text);
  # What still names the store is NixOS's own: the manager's PATH and locales, the script of Central Command's first start.
  ours = line: !lib.hasInfix builtins.storeDir line;
  # NixOS links the other names of a unit itself; elsewhere `systemctl enable` does.
  alias = name: lib.concatMapStrings (other: "Alias=${other}\n") config.systemd.units.${name}.aliases;
  unit =
    name:
    let
      lines = lib.filter ours (lib.splitString "\n" (portable config.systemd.units.${name}.text));
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
    "msp-agent-act.socket"
    "msp-agent-act@.service"
    "msp-agent-nft.socket"
    "msp-agent-nft@.service"
    "msp-agent-switch@.service"
    "msp-agent-switch-settle.service"
    "msp-agent-sensor.socket"
    "msp-central.service"
  ] unit;
}
