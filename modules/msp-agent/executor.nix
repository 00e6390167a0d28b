# What root does for the agent: a socket each for the executor and for the reader of the packet filter. Every connection is
# one request to one short-lived process (docs/threat-model.md). The list of what may be asked for is root's.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.msp-agent;
  inherit (lib) mkOption types;
  unit = types.strMatching "[A-Za-z0-9:_.@\\\\-]+\\.(service|socket|target|timer)";
  given = lib.filterAttrs (_: value: value != null);

  hardening = import ../hardening.nix // {
    # SO_PEERCRED would show nobody, and a capability would count only in there.
    PrivateUsers = false;
    ProtectHome = true;
    IPAddressDeny = "any";
    RuntimeMaxSec = 30;
    TasksMax = 4;
  };
  door = name: description: most: {
    inherit description;
    wantedBy = [ "sockets.target" ];
    socketConfig = {
      ListenStream = "/run/msp-agent/${name}.sock";
      Accept = true;
      SocketMode = "0660";
      SocketGroup = "msp-agent";
      MaxConnections = most;
      # A flood is slowed down; by the default it would end the socket.
      TriggerLimitIntervalSec = 0;
      PollLimitIntervalSec = "2s";
      PollLimitBurst = 16;
    };
  };
  sockets = [
    "msp-agent-act.socket"
    "msp-agent-nft.socket"
  ];
in
{
  options.services.msp-agent.executor = {
    enable = mkOption {
      type = types.bool;
      default = true;
      description = "Whether root does the few things below for the agent, and shows it the packet filter. `false`: what is wrong with the appliance itself goes to a person.";
    };
    units = mkOption {
      type = types.listOf unit;
      default = [ ];
      example = [ "chronyd.service" ];
      description = "Units that may be started and restarted when they should run and do not; `baseline.appliance.services.running` says which should.";
    };
    timeUnit = mkOption {
      type = types.nullOr unit;
      default =
        if config.services.chrony.enable then
          "chronyd.service"
        else if config.services.timesyncd.enable then
          "systemd-timesyncd.service"
        else
          null;
      defaultText = lib.literalExpression "chrony's or timesyncd's, where one is enabled";
      description = "The time service, restarted when the clock is off.";
    };
    garbageUnit = mkOption {
      type = types.nullOr unit;
      default = if config.nix.enable then "nix-gc.service" else null;
      defaultText = lib.literalExpression ''"nix-gc.service" where nix is enabled'';
      description = "What frees space when a disk fills up.";
    };
    restoreFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Whether the declared firewall is loaded again when it is not in force. Otherwise a person is asked, who finds out why.";
    };
  };

  config = lib.mkIf (cfg.enable && cfg.executor.enable) {
    environment.etc."msp-agent/act.json".source = (pkgs.formats.json { }).generate "msp-agent-act.json" (given {
      user = "msp-agent";
      units = cfg.executor.units;
      time_unit = cfg.executor.timeUnit;
      garbage_unit = cfg.executor.garbageUnit;
      firewall_unit =
        if !cfg.executor.restoreFirewall then
          null
        else if config.networking.nftables.enable then
          "nftables.service"
        else
          "firewall.service";
      switch =
        if cfg.generations.orders || cfg.generations.restoreDeclared then
          {
            inherit (cfg.settings) site_id;
            host_id = if cfg.settings.host_id != null then cfg.settings.host_id else config.networking.hostName;
            server_public_keys = lib.optionals cfg.generations.orders cfg.generations.publicKeys;
            restore_declared = cfg.generations.restoreDeclared;
          }
        else
          null;
    });

    # Root's list is one half of it, a rule of the site the other.
    services.msp-agent.rules = lib.mkIf cfg.executor.restoreFirewall {
      restore-firewall.rules = [
        {
          id = "SITE-FIREWALL-RESTORE";
          name = "Declared firewall loaded again";
          conditions = [
            {
              field = "check_type";
              operator = "eq";
              value = "firewall";
            }
            {
              field = "drift_detected";
              operator = "eq";
              value = true;
            }
            {
              field = "details.platform";
              operator = "eq";
              value = "nixos";
            }
          ];
          action = "run_runbook";
          action_params.runbook_id = "RB-HOST-FIREWALL-001";
          priority = 1;
        }
      ];
    };

    systemd.services.msp-agent = {
      wants = sockets;
      after = sockets;
    };
    systemd.sockets.msp-agent-act = door "act" "Root executor of msp-agent" 8;
    systemd.sockets.msp-agent-nft = door "nft" "Listing of the packet filter for msp-agent" 4;

    systemd.services."msp-agent-act@" = {
      description = "One request to the root executor of msp-agent";
      # A switch of the system asks through it for its confirmation.
      restartIfChanged = false;
      unitConfig.CollectMode = "inactive-or-failed";
      serviceConfig = hardening // {
        ExecStart = "${cfg.package}/libexec/msp-agent-act";
        StandardInput = "socket";
        StandardOutput = "journal";
        StandardError = "journal";
        SyslogIdentifier = "msp-agent-act";
        RuntimeDirectory = "msp-agent-act";
        RuntimeDirectoryPreserve = true;
        # Which switches were asked for, and the sequence of the last order.
        StateDirectory = "msp-agent-switch";
        StateDirectoryMode = "0755";
        # What it refused the daemon may read.
        UMask = "0022";
        MemoryMax = "32M";
        # Root without a capability: systemd knows the caller by its user. It speaks over the bus and nothing else.
        PrivateNetwork = true;
        RestrictAddressFamilies = "AF_UNIX";
      };
    };

    systemd.services."msp-agent-nft@" = {
      description = "One listing of the packet filter for msp-agent";
      restartIfChanged = false;
      unitConfig.CollectMode = "inactive-or-failed";
      serviceConfig = hardening // {
        # It reads nothing from whoever connects: all that can be had of it is this listing.
        ExecStart = "${pkgs.nftables}/bin/nft -j list ruleset";
        StandardInput = "null";
        StandardOutput = "socket";
        StandardError = "journal";
        SyslogIdentifier = "msp-agent-nft";
        DynamicUser = true;
        MemoryMax = "64M";
        AmbientCapabilities = "CAP_NET_ADMIN";
        CapabilityBoundingSet = "CAP_NET_ADMIN";
        ProcSubset = "pid";
        RestrictAddressFamilies = [
          "AF_NETLINK"
          "AF_UNIX"
        ];
      };
    };

    assertions = [
      {
        assertion = !cfg.executor.restoreFirewall || config.networking.firewall.enable;
        message = "services.msp-agent.executor.restoreFirewall has no declared firewall to restore: write networking.firewall.enable = true;";
      }
    ];
  };
}
