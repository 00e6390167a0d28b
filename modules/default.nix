# The modules, with the flake's own programs as their packages.
{ self }:
let
  with-package =
    module: name:
    { lib, pkgs, ... }:
    {
      imports = [ module ];
      # Not an overlay: nixpkgs' own test driver makes those read-only.
      services.${name}.package = lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.${name};
    };
in
rec {
  msp-agent = with-package ./msp-agent "msp-agent";
  msp-central = with-package ./msp-central "msp-central";
  default = msp-agent;
}
