# A system with both modules and everything that they offer: what module-eval builds and the unit texts come from.
{
  self,
  pkgs,
  lib,
}:
import (pkgs.path + "/nixos/lib/eval-config.nix") {
  inherit (pkgs.stdenv.hostPlatform) system;
  modules = [
    self.nixosModules.default
    self.nixosModules.msp-central
    {
      system.stateVersion = "26.05";
      networking.hostName = "apl-1";
      boot.loader.grub.enable = false;
      fileSystems."/" = {
        device = "/dev/disk/by-label/nixos";
        fsType = "ext4";
      };
      networking.nftables.enable = true;

      services.msp-agent = {
        enable = true;
        settings = {
          site_id = "clinic-a";
          mcp_url = "https://central.example.org:8443";
          mcp_public_key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        };
        generations.orders = true;
        generations.restoreDeclared = true;
        egress = {
          enable = true;
          allow = [
            {
              address = "203.0.113.7";
              ports = [ 8443 ];
            }
          ];
        };
        listener = {
          enable = true;
          address = "192.168.10.2";
        };
      };

      services.msp-central = {
        enable = true;
        names = [ "central.example.org" ];
      };
    }
  ];
}
