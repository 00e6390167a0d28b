# Which generation of NixOS runs, and on whose word another one does. The switch is a unit of its own, because it has to be
# root, may start anything, and outlives the daemon that asked for it (docs/threat-model.md).
{
  config,
  lib,
  ...
}:
let
  cfg = config.services.msp-agent;
  inherit (lib) mkOption types;
  wanted = cfg.generations.orders || cfg.generations.restoreDeclared;
in
{
  options.services.msp-agent.generations = {
    orders = mkOption {
      type = types.bool;
      default = false;
      description = "Whether a signed order of Central Command may switch this machine to a system that is signed by a key of `nix.settings.trusted-public-keys`. Otherwise that is a person's business.";
    };
    restoreDeclared = mkOption {
      type = types.bool;
      default = false;
      description = "Whether the declared system is switched back to when another one runs. Otherwise a person is asked, who finds out why.";
    };
    publicKeys = mkOption {
      type = types.listOf (types.strMatching "[0-9a-f]{64}");
      default = lib.optional (cfg.settings.mcp_public_key != null) cfg.settings.mcp_public_key;
      defaultText = lib.literalExpression "[ settings.mcp_public_key ]";
      description = "The keys of Central Command that root believes an order to switch. An order that rotates the agent's keys does not change these: write the new one here first.";
    };
    confirmSeconds = mkOption {
      type = types.ints.between 30 900;
      default = 180;
      description = "How long a new system may take until the agent confirms it, for which it has to check in, if it could before; then the one before runs again.";
    };
  };

  config = lib.mkIf (cfg.enable && cfg.executor.enable) {
    # Root's list is one half of it, a rule of the site the other.
    services.msp-agent.rules = lib.mkIf cfg.generations.restoreDeclared {
      restore-generation.rules = [
        {
          id = "SITE-GENERATION-RESTORE";
          name = "Declared generation switched back to";
          conditions = [
            {
              field = "check_type";
              operator = "eq";
              value = "generation";
            }
            {
              field = "drift_detected";
              operator = "eq";
              value = true;
            }
            # What was tried and rolled back is a person's business.
            {
              field = "details.switch_rolled_back";
              operator = "eq";
              value = false;
            }
          ];
          action = "run_runbook";
          action_params.runbook_id = "RB-HOST-GENERATION-001";
          priority = 1;
        }
      ];
    };

    systemd.services."msp-agent-switch@" = lib.mkIf wanted {
      description = "Switch %i to another generation of NixOS, for msp-agent";
      # It is in the middle of what would restart it.
      restartIfChanged = false;
      stopIfChanged = false;
      # It has to end as something: a full disk may pass.
      startLimitIntervalSec = 0;
      unitConfig.X-StopOnRemoval = false;
      path = [ config.nix.package ];
      serviceConfig = {
        Type = "exec";
        ExecStart = "${cfg.package}/libexec/msp-agent-switch run %i ${toString cfg.generations.confirmSeconds}";
        # Killed or out of memory: back to what ran before. A switch that is over is left alone.
        ExecStopPost = "${cfg.package}/libexec/msp-agent-switch recover %i";
        # When that was killed as well: begun anew, it goes back.
        Restart = "on-failure";
        RestartSec = 15;
        RuntimeMaxSec = 5400;
        TimeoutStopSec = 600;
        StateDirectory = "msp-agent-switch";
        StateDirectoryMode = "0755";
        SyslogIdentifier = "msp-agent-switch";
        UMask = "0022";
      };
    };

    # A switch that a power cut ended is over before the agent looks at the machine.
    systemd.services.msp-agent-switch-settle = lib.mkIf wanted {
      description = "What a restart of the machine made of a switch, for msp-agent";
      wantedBy = [ "multi-user.target" ];
      before = [ "msp-agent.service" ];
      restartIfChanged = false;
      path = [ config.nix.package ];
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${cfg.package}/libexec/msp-agent-switch settle";
        StateDirectory = "msp-agent-switch";
        StateDirectoryMode = "0755";
        SyslogIdentifier = "msp-agent-switch";
        UMask = "0022";
      };
    };

    assertions = [
      {
        assertion = !cfg.generations.orders || cfg.generations.publicKeys != [ ];
        message = "services.msp-agent.generations.orders has nobody to believe: write services.msp-agent.settings.mcp_public_key, or generations.publicKeys";
      }
      {
        assertion = !wanted || config.nix.enable;
        message = "services.msp-agent.generations cannot switch without nix: write nix.enable = true;";
      }
    ];
  };
}
