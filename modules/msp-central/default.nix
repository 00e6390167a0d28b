# services.msp-central: Central Command on a NixOS machine. Its settings are the arguments of `msp-central serve`.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.msp-central;
  inherit (lib) mkOption types;
  directory = "/var/lib/msp-central";
  handedOver = "/run/credentials/msp-central.service";
  ownCertificate = cfg.peopleCertFile != null;

  address = types.strMatching "(\\[[0-9a-fA-F:.]+]|[0-9.]+):[0-9]{1,5}";
  option =
    type: default: description:
    mkOption { inherit type default description; };
  optional = type: option (types.nullOr type) null;
  port = text: lib.toInt (lib.last (lib.splitString ":" text));
  loopback = text: lib.hasPrefix "127." text || lib.hasPrefix "[::1]" text;
  doors = lib.filter (at: at != null && !loopback at) [
    cfg.settings.listen
    cfg.settings.people
    cfg.settings.enroll
  ];

  inStore = path: builtins.isPath path || lib.hasPrefix "${builtins.storeDir}/" (toString path);
  argument =
    name: value:
    if value == null || value == false then
      [ ]
    else if value == true then
      [ "--${name}" ]
    else
      [
        "--${name}"
        (toString value)
      ];
  arguments = lib.concatLists (
    lib.mapAttrsToList argument (
    cfg.settings
    // lib.optionalAttrs ownCertificate {
      people-cert = "${handedOver}/people-cert";
      people-key = "${handedOver}/people-key";
    }
    )
  );
in
{
  options.services.msp-central = {
    enable = lib.mkEnableOption "Central Command, to which the agents report";

    package = mkOption {
      type = types.package;
      defaultText = lib.literalExpression "the flake's msp-central";
      description = "The program.";
    };

    names = option (types.listOf types.str) [ ] "The DNS names and addresses that agents connect to. They are put into the server's certificate when ${directory} is made, at the first start; later ones need a new certificate.";

    settings = mkOption {
      default = { };
      description = "The arguments of `msp-central serve`. `null` leaves one out.";
      type = types.submodule {
        freeformType = types.attrsOf (
          types.nullOr (
            types.oneOf [
              types.bool
              types.int
              types.str
            ]
          )
        );
        options = {
          log-level = option types.str "info,sqlx=warn" "What is logged: error, warn, info, debug, trace, or a filter.";
          listen = option address "127.0.0.1:8443" "Where agents connect: HTTPS with client certificates.";
          people = option address "127.0.0.1:8444" "Where people look and act, over HTTPS.";
          people-http = option types.bool false "Serve people without TLS; loopback only.";
          people-url = optional types.str "Where people find the pages, for links.";
          enroll = optional address "Where new appliances enrol by a token; nowhere unless given.";
          agents-url = optional (types.strMatching "https://.+") "Where appliances are told to connect.";
          certificate-lifetime = option (types.strMatching "[0-9]+[smhd]") "90d" "How long an appliance's certificate lives.";
          metrics = optional address "Where monitoring reads GET /metrics, over HTTP: loopback only; nowhere unless given.";
          max-connections = option (types.ints.between 1 65535) 512 "Connections at the same time on each listener.";
          request-timeout = option (types.ints.between 1 65535) 15 "Seconds that one call may take.";
          idle-timeout = option (types.ints.between 1 65535) 30 "Seconds for a handshake, for the head of a request, and between two requests.";
        };
      };
    };

    peopleCertFile = optional types.path "Another certificate for people's browsers, with its chain. None: the server's own.";
    peopleKeyFile = optional types.path "Its key: a file of the machine, handed to the service by systemd.";
    openFirewall = option types.bool false "Whether the ports of the listeners that are not on loopback are opened.";
  };

  config = lib.mkIf cfg.enable {
    users.users.msp-central = {
      isSystemUser = true;
      group = "msp-central";
      description = "msp-central";
      home = directory;
    };
    users.groups.msp-central = { };
    environment.systemPackages = [ cfg.package ];
    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall (map port doors);

    systemd.services.msp-central = {
      description = "Central Command of msp-agent";
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      # Once: nothing is ever made anew, and half a directory is not taken for a whole one.
      preStart = ''
        if [ ! -e ${directory}/central.db ]; then
          ${lib.getExe cfg.package} init --dir ${directory} ${
            lib.concatMapStringsSep " " (name: "--name ${lib.escapeShellArg name}") cfg.names
          }
        fi
      '';

      serviceConfig = (import ../hardening.nix) // {
        Type = "exec";
        ExecStart = "${lib.getExe cfg.package} serve --dir ${directory} ${lib.escapeShellArgs arguments}";
        Restart = "always";
        RestartSec = 5;
        TimeoutStopSec = 10;

        User = "msp-central";
        Group = "msp-central";
        StateDirectory = "msp-central";
        StateDirectoryMode = "0700";
        LoadCredential = lib.optionals ownCertificate [
          "people-cert:${toString cfg.peopleCertFile}"
          "people-key:${toString cfg.peopleKeyFile}"
        ];

        # It looks at nothing of the machine.
        ProtectHome = true;
        ProcSubset = "pid";

        MemoryMax = "2G";
        TasksMax = 1024;
        LimitNOFILE = 16384;
      };
    };

    assertions = [
      {
        assertion = cfg.names != [ ];
        message = ''services.msp-central.names is empty: write the names that agents connect to, for example services.msp-central.names = [ "central.example.org" ];'';
      }
      {
        assertion = (cfg.peopleCertFile == null) == (cfg.peopleKeyFile == null);
        message = "services.msp-central.peopleCertFile and peopleKeyFile go together: write both or neither";
      }
      {
        assertion = cfg.peopleKeyFile == null || !inStore cfg.peopleKeyFile;
        message = ''services.msp-central.peopleKeyFile is in the store, where everybody can read it: write a string that names a file of the machine, for example "/run/secrets/people-key.pem"'';
      }
      {
        assertion = !(cfg.settings.people-http && (ownCertificate || !loopback cfg.settings.people));
        message = "services.msp-central.settings.people-http serves loopback only and without a certificate: leave it out, or put people on 127.0.0.1";
      }
      {
        assertion = cfg.settings.metrics == null || loopback cfg.settings.metrics;
        message = ''services.msp-central.settings.metrics is served on loopback only: write "127.0.0.1:9464", for example'';
      }
    ];
  };
}
