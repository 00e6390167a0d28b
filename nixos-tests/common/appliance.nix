# An appliance that is to be enrolled. Its paces are a test's.
{ lib, pkgs, ... }:
{
  services.msp-agent = {
    enable = true;
    settings = {
      site_id = "clinic-a";
      mcp_url = "https://central:8443";
      # Central Command's key is made at its first start, later than this text: clinic.py writes it into trust.env.
      mcp_public_key = lib.mkDefault "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
      poll_interval = 2;
      host_check_interval = 2;
    };
  };
  systemd.services.msp-agent.serviceConfig.EnvironmentFile = "-/etc/msp/trust.env";
  networking.nftables.enable = true;
  environment.systemPackages = [ pkgs.jq ];
}
