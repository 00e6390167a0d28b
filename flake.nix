{
  description = "msp-agent: finds, heals and proves drift on the machines of small medical practices";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    crane.url = "github:ipetkov/crane";
  };

  outputs =
    {
      self,
      nixpkgs,
      crane,
    }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      # What there is for one kind of machine, from nix/: all of it in one place, so that nothing is forgotten below.
      on = lib.genAttrs systems (
        system:
        import ./nix {
          inherit self system crane;
          pkgs = nixpkgs.legacyPackages.${system};
        }
      );
      each = part: lib.mapAttrs (_: here: here.${part}) on;
    in
    {
      packages = each "packages";
      apps = each "apps";
      checks = each "checks";
      devShells = each "devShells";
      formatter = each "formatter";

      nixosModules = import ./modules { inherit self; };

      # Text that the repository keeps (docs/options.md, tests/machine/units), as these modules give it.
      golden = on.x86_64-linux.golden;
    };
}
