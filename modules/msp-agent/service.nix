# The unit of the daemon.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.msp-agent;
  textfile = cfg.settings.metrics_textfile;
in
{
  config = lib.mkIf cfg.enable {
    users.users.msp-agent = {
      isSystemUser = true;
      group = "msp-agent";
      description = "msp-agent";
    };
    users.groups.msp-agent = { };

    systemd.services.msp-agent = {
      description = "msp-agent: finds drift, heals what a rule allows, proves it";
      # The name that operators know from the first appliances.
      aliases = [ "compliance-agent.service" ];
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      # It does its work without a network as well, but its first check-in should not fail for the boot's sake.
      after = [
        "network-online.target"
        "dbus.service"
      ];
      # It is what has to stay: no number of failures makes systemd give up.
      startLimitIntervalSec = 0;

      serviceConfig = (import ../hardening.nix) // {
        Type = "notify";
        NotifyAccess = "main";
        ExecStart = "${lib.getExe cfg.package} run --config ${cfg.configFile}";
        # Asks Central Command at once.
        ExecReload = "${pkgs.coreutils}/bin/kill -HUP $MAINPID";
        Restart = "always";
        RestartSec = 5;
        # Fed only while every loop keeps its own time and the state answers.
        WatchdogSec = 60;
        TimeoutStopSec = 10;

        User = "msp-agent";
        Group = "msp-agent";
        StateDirectory = "msp";
        StateDirectoryMode = "0700";

        # Its checks look at the machine: how full /home is must be seen, root's own folder must not.
        ProtectHome = "read-only";
        InaccessiblePaths = [ "-/root" ];
        # /proc/sys and /proc/net tell the host's name and addresses, so not "pid".
        ProcSubset = "all";
        ReadWritePaths = lib.optional (textfile != null) (dirOf textfile);

        MemoryMax = "512M";
        TasksMax = 256;
        LimitNOFILE = 4096;
        OOMScoreAdjust = -500;
      };
    };
  };
}
