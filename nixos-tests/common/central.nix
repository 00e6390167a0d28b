# Central Command; appliances may enrol at any time.
{ pkgs, ... }:
{
  services.msp-central = {
    enable = true;
    names = [ "central" ];
    openFirewall = true;
    settings = {
      listen = "0.0.0.0:8443";
      enroll = "0.0.0.0:8445";
    };
  };
  environment.systemPackages = [ pkgs.jq ];
}
