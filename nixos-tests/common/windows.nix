# A simulated Windows server: WinRM over plain HTTP with sealed messages, as a domain's servers have it.
{
  lib,
  pkgs,
  programs,
  ...
}:
{
  networking.firewall.allowedTCPPorts = [ 5985 ];
  systemd.services.winsim = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig = {
      DynamicUser = true;
      ExecStart = lib.concatStringsSep " " [
        (lib.getExe programs.winsim)
        "--hostname FS01 --user svc-msp --password-file ${pkgs.writeText "password" "Correct-Horse-9"}"
        "--http 0.0.0.0:5985 --drift 127.0.0.1:5987"
      ];
    };
  };
  environment.systemPackages = [ pkgs.curl ];
}
