# Every file beside this one is a scenario.
{
  self,
  pkgs,
  lib,
}:
let
  files = lib.filterAttrs (
    name: type: type == "regular" && lib.hasSuffix ".nix" name && name != "default.nix"
  ) (builtins.readDir ./.);
in
lib.mapAttrs' (
  file: _:
  lib.nameValuePair (lib.removeSuffix ".nix" file) (
    pkgs.testers.runNixOSTest {
      imports = [
        ./common
        (./. + "/${file}")
      ];
      _module.args = { inherit self; };
    }
  )
) files
