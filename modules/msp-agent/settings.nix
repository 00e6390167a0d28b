# Every key of the agent's configuration, under its own name. tests/suite holds them against the agent's schema: a key
# without an option fails there, and so does an option, a type or a default that the agent does not know.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  option =
    type: default: description:
    mkOption { inherit type default description; };
  optional = type: option (types.nullOr type) null;
  between =
    least: most:
    option (types.ints.between least most);
  seconds = between 1 86400;
  clock = types.strMatching "([01][0-9]|2[0-3]):[0-5][0-9]";
in
{
  options.services.msp-agent.settings = mkOption {
    default = { };
    description = "The agent's configuration: docs/configuration.md explains every key. `null` leaves a key out.";
    type = types.submodule {
      freeformType = (pkgs.formats.json { }).type;
      options = {
        site_id = optional types.str "The practice, as Central Command knows it. Required.";
        host_id = mkOption {
          type = types.str;
          default = config.networking.hostName;
          defaultText = lib.literalExpression "config.networking.hostName";
          description = "This appliance; the same as in its certificate.";
        };
        deployment_mode = option (types.enum [
          "direct"
          "reseller"
        ]) "direct" "`reseller` needs `reseller_id`.";
        reseller_id = optional types.str "Who stands between provider and practice.";

        mcp_url = optional (types.strMatching "https://.+") "Central Command. Required.";
        mcp_public_key = optional (types.strMatching "[0-9a-fA-F]{64}") "The key that signs what Central Command sends. Required.";

        state_dir = mkOption {
          type = types.path;
          default = "/var/lib/msp";
          readOnly = true;
          description = "The service's own folder.";
        };
        baseline_path = option types.path "/etc/msp/baseline.yaml" "What is desired; built in when this file is not there. `baseline` writes one.";
        rules_dir = option types.path "/etc/msp/rules" "The site's own rules. `rules` writes them.";
        windows_credentials_dir = option types.path "/etc/msp/windows" "How to log on to Windows servers, one file a server, readable by the user msp-agent alone. `windowsCredentialFiles` hands them over instead.";
        windows_ca_cert_file = optional types.path "Who issued the Windows servers' WinRM certificates. None: the system's authorities.";

        poll_interval = seconds 60 "Seconds between check-ins, rule syncs, orders and checks of Windows servers.";
        host_check_interval = seconds 300 "Seconds between checks of the appliance itself.";
        windows_slow_check_interval = seconds 3600 "Seconds between the checks that keep a Windows server busy.";

        order_ttl = option types.ints.unsigned 900 "The longest time to live of an order that is accepted, in seconds.";
        max_queue_size = option types.ints.unsigned 1000 "How many accepted orders may wait at once.";

        maintenance_window = optional (types.strMatching "[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}") "When a runbook that disturbs people may run. None: 02:00-04:00.";
        maintenance_window_enabled = optional types.bool "`false`: no window is kept. None: it is kept.";
        maintenance_window_start = optional clock "Its beginning, instead of `maintenance_window`.";
        maintenance_window_end = optional clock "Its end.";
        maintenance_window_days = option (types.listOf (
          types.enum [
            "mon"
            "tue"
            "wed"
            "thu"
            "fri"
            "sat"
            "sun"
          ]
        )) [ ] "The days on which it begins; empty: every day.";
        maintenance_window_timezone = optional types.str "A name of the IANA database. None: the machine's own zone.";
        allow_disruptive_outside_window = option types.bool false "Whether the window is not kept.";
        disruptive_from = option (types.enum [
          "medium"
          "high"
        ]) "high" "From which degree on a runbook disturbs people: connections may drop, or work stops.";

        healing_enabled = option types.bool true "`false`: find, prove, report, heal nothing.";
        dry_run = option types.bool false "Only say what would be done. An order of Central Command outweighs it, either way.";
        runbook_allowlist = option (types.listOf types.str) [ ] "The runbooks that may run; empty: every one that this version ships.";
        heals_per_host_per_hour = between 1 1000 12 "Heals begun on one machine within any hour.";
        heals_per_site_per_hour = between 1 10000 60 "Heals begun at the whole site within any hour.";
        flap_limit = between 1 1000 3 "So many heals of the same thing within `flap_window_hours`, and the next goes to a person.";
        flap_window_hours = between 1 720 24 "Hours that `flap_limit` looks back.";
        breaker_failures = between 1 100 3 "So many heals of a machine in a row failed, and it is left alone.";
        breaker_pause_minutes = between 1 1440 30 "Minutes for which it is left alone.";

        metrics_textfile = optional (types.strMatching "/.+\\.prom") "A file for node_exporter's textfile collector, in a folder that the user msp-agent may write.";
        log_level = option (types.enum [
          "error"
          "warn"
          "info"
          "debug"
          "trace"
        ]) "info" "How much the log says.";
      };
    };
  };
}
