# Everything the flake offers on one kind of machine.
{
  self,
  system,
  crane,
  pkgs,
}:
let
  inherit (pkgs) lib;
  craneLib = crane.mkLib pkgs;
  build = import ./build.nix { inherit lib pkgs craneLib; };
  tests = import ../nixos-tests { inherit self pkgs lib; };
  golden = import ./golden.nix { inherit self pkgs lib; };
in
{
  inherit (build) packages;
  inherit golden;

  apps.lab = {
    type = "app";
    program = lib.getExe build.packages.lab;
    meta.description = "A clinic on loopback: Central Command, an agent, simulated Windows servers";
  };

  # Made from the sets themselves: a package or a test file that is there is checked.
  checks =
    lib.mapAttrs' (name: lib.nameValuePair "package-${name}") build.packages
    // lib.mapAttrs' (name: lib.nameValuePair "vm-${name}") tests
    // build.checks
    // import ./checks.nix { inherit self pkgs golden; };

  devShells.default = craneLib.devShell {
    # `cargo suite` takes what is there of these, and skips by name what is not.
    packages = [
      pkgs.cargo-nextest
      pkgs.cargo-deny
      pkgs.openssl
      pkgs.chromium
      pkgs.python3
    ];
  };

  formatter = pkgs.nixfmt-tree;
}
