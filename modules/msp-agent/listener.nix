# The sensor listener: systemd listens, the agent answers (docs/sensors.md). Off, nothing listens on the network.
{ config, lib, ... }:
let
  cfg = config.services.msp-agent;
  inherit (lib) mkOption types;
  credential = "sensor_keys_file";
  inStore =
    builtins.isPath cfg.listener.keysFile
    || lib.hasPrefix "${builtins.storeDir}/" (toString cfg.listener.keysFile);
  host = lib.optionalString (cfg.listener.address != null) cfg.listener.address;
in
{
  options.services.msp-agent.listener = {
    enable = lib.mkEnableOption "the listener to which sensors on the practice's network push that a check should be made now";
    address = mkOption {
      type = types.nullOr (types.strMatching "[0-9a-fA-F.:]+");
      default = null;
      example = "192.168.10.2";
      description = "Where it listens: this machine's address in the practice's network. Required.";
    };
    port = mkOption {
      type = types.port;
      default = 8446;
      description = "Its TCP port.";
    };
    keysFile = mkOption {
      type = types.path;
      default = "/etc/msp/sensors.json";
      description = "The sensors' keys, as `msp-agent sensor add` writes them. While it is not there, every push is refused.";
    };
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Whether the firewall lets others reach the port, on every interface of this machine. Where one of them faces another network, write networking.firewall.interfaces.<name>.allowedTCPPorts instead.";
    };
  };

  config = lib.mkIf (cfg.enable && cfg.listener.enable) {
    services.msp-agent.settings.${credential} = "/run/credentials/msp-agent.service/${credential}";

    systemd.sockets.msp-agent-sensor = {
      description = "Sensor listener of msp-agent";
      wantedBy = [ "sockets.target" ];
      # A stopped agent is stopped: no packet starts it again. And a changed address comes into force with the service.
      partOf = [ "msp-agent.service" ];
      unitConfig.ConditionPathExists = config.systemd.services.msp-agent.unitConfig.ConditionPathExists;
      socketConfig = {
        ListenStream = "${if lib.hasInfix ":" host then "[${host}]" else host}:${toString cfg.listener.port}";
        Service = "msp-agent.service";
        FileDescriptorName = "sensor";
        # The address may come later than the socket.
        FreeBind = true;
        Backlog = 64;
      };
    };

    systemd.services.msp-agent = {
      wants = [ "msp-agent-sensor.socket" ];
      after = [ "msp-agent-sensor.socket" ];
      restartTriggers = [ config.systemd.sockets.msp-agent-sensor.socketConfig.ListenStream ];
      serviceConfig = {
        LoadCredential = [ "${credential}:${toString cfg.listener.keysFile}" ];
        # What counts while that file is not there: nobody's key. The agent does its other work.
        SetCredential = "${credential}:{}";
      };
    };

    networking.firewall.allowedTCPPorts = lib.mkIf cfg.listener.openFirewall [ cfg.listener.port ];

    assertions = [
      {
        assertion = cfg.listener.address != null;
        message = ''services.msp-agent.listener.address is not set: write this machine's address in the practice's network, for example services.msp-agent.listener.address = "192.168.10.2";'';
      }
      {
        assertion = !inStore;
        message = ''services.msp-agent.listener.keysFile (${toString cfg.listener.keysFile}) is in the store or a path literal that goes there, where everybody can read it: write a string that names a file of the machine, for example "/run/secrets/sensors.json"'';
      }
    ];
  };
}
