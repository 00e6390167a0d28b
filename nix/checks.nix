# What is checked of the modules without a virtual machine.
{
  self,
  pkgs,
  golden,
}:
let
  inherit (pkgs) lib;
  example = import ./example.nix { inherit self pkgs lib; };
  # A text as these modules give it, against the one that the repository keeps.
  same =
    name: made: kept:
    # The store takes no @ in a name.
    pkgs.runCommand (lib.strings.sanitizeDerivationName name)
      {
        inherit made;
        kept = builtins.path {
          name = "kept";
          path = kept;
        };
        passAsFile = [ "made" ];
      }
      ''
        # The first line of the kept text is the hash of what it was made from.
        diff <(tail -n +2 "$kept") "$madePath"
        touch $out
      '';
in
{
  # A whole system with everything switched on; its parts are built, the configuration is checked on the way.
  module-eval = example.config.system.build.toplevel;
  refusals = import ./refusals.nix { inherit self pkgs lib; };
  options-docs = same "options-docs" golden.options ../docs/options.md;
}
// lib.mapAttrs' (
  name: text: lib.nameValuePair "unit-${name}" (same name text (../tests/machine/units + "/${name}"))
) golden.units
