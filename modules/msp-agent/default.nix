# services.msp-agent: the agent on a NixOS machine.
#
# settings.nix   every key of the configuration, typed, over a freeform set
# secrets.nix    keys and credentials, as files that never enter the store
# service.nix    the unit
# executor.nix   what root does for it
# generations.nix which generation of NixOS runs, and who may switch
# egress.nix     whom the agent may talk to, by nftables
# listener.nix   who may push drift to it
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.msp-agent;
  json = pkgs.formats.json { };
  given = lib.filterAttrs (_: value: value != null);

  unchecked = json.generate "msp-agent.json" (given cfg.settings);
  rules = lib.mapAttrsToList (name: set: {
    name = "${name}.json";
    path = json.generate "${name}.json" set;
  }) cfg.rules;
in
{
  imports = [
    ./settings.nix
    ./secrets.nix
    ./service.nix
    ./egress.nix
    ./executor.nix
    ./generations.nix
    ./listener.nix
  ];

  options.services.msp-agent = {
    enable = lib.mkEnableOption "msp-agent, which finds drift on this machine and its Windows servers, heals what a rule allows and proves it";

    package = lib.mkOption {
      type = lib.types.package;
      defaultText = lib.literalExpression "the flake's msp-agent";
      description = "The program.";
    };

    baseline = lib.mkOption {
      inherit (json) type;
      default = { };
      example = lib.literalExpression "{ appliance.disk.max_used_percent = 90; }";
      description = "What the checks hold the machines against, where it differs from the built-in baseline. Empty: `settings.baseline_path` counts.";
    };

    rules = lib.mkOption {
      type = lib.types.attrsOf json.type;
      default = { };
      example = lib.literalExpression ''{ site.rules = [ { id = "L1-WIN-SVC-001"; enabled = false; } ]; }'';
      description = "The site's own rules, a file each, linted when the system is built. Empty: `settings.rules_dir` counts.";
    };

    configFile = lib.mkOption {
      type = lib.types.path;
      readOnly = true;
      # A mistake in it ends the build and not the service: the program itself judges, with line and cure.
      default = pkgs.runCommand "msp-agent-checked.json" { } ''
        ${lib.getExe cfg.package} check-config ${unchecked}
        cp ${unchecked} $out
      '';
      defaultText = lib.literalExpression "made from settings, and checked";
      description = "The configuration that the service reads.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.msp-agent.settings = {
      baseline_path = lib.mkIf (cfg.baseline != { }) (json.generate "msp-baseline.json" cfg.baseline);
      rules_dir = lib.mkIf (cfg.rules != { }) (
        pkgs.runCommand "msp-rules" { } (
          lib.concatMapStrings (rule: ''
            ${lib.getExe cfg.package} rules lint ${rule.path}
            install -D -m 0444 ${rule.path} $out/${rule.name}
          '') rules
        )
      );
    };

    environment.systemPackages = [ cfg.package ];
    # Where the command line looks when no --config is given.
    environment.etc."msp/config.yaml".source = cfg.configFile;

    assertions = [
      {
        assertion = cfg.settings.site_id != null;
        message = ''services.msp-agent.settings.site_id is not set: write the practice's id as Central Command knows it, for example services.msp-agent.settings.site_id = "clinic-a";'';
      }
      {
        assertion = cfg.settings.mcp_url != null;
        message = ''services.msp-agent.settings.mcp_url is not set: write where Central Command listens for agents, for example services.msp-agent.settings.mcp_url = "https://central.example.org:8443";'';
      }
      {
        assertion = cfg.settings.mcp_public_key != null;
        message = "services.msp-agent.settings.mcp_public_key is not set: write the 64 hexadecimal characters that `msp-agent enroll` put into config.yaml (at Central Command they are in signing.pub)";
      }
      {
        assertion = cfg.settings.deployment_mode != "reseller" || cfg.settings.reseller_id != null;
        message = ''services.msp-agent.settings.deployment_mode is "reseller": write services.msp-agent.settings.reseller_id, too'';
      }
      {
        assertion =
          cfg.settings.maintenance_window == null
          || cfg.settings.maintenance_window_start == null && cfg.settings.maintenance_window_end == null;
        message = "services.msp-agent.settings has the maintenance window twice: write maintenance_window, or maintenance_window_start and maintenance_window_end";
      }
      {
        assertion = (cfg.settings.maintenance_window_start == null) == (cfg.settings.maintenance_window_end == null);
        message = ''services.msp-agent.settings has one end of the maintenance window: write both, maintenance_window_start = "22:00" and maintenance_window_end = "02:00", for example'';
      }
    ];
  };
}
