# Keys and credentials: files of the machine, which systemd hands to the service (LoadCredential) and which no store,
# no other user and no other service gets to see. The defaults are where `msp-agent enroll` puts them.
{ config, lib, ... }:
let
  cfg = config.services.msp-agent;
  inherit (lib) mkOption types;
  handedOver = "/run/credentials/msp-agent.service";

  file =
    default: description:
    mkOption {
      type = types.nullOr types.path;
      inherit default description;
    };

  # The configuration's key, and the file that it is to name.
  secrets = {
    client_cert_file = cfg.clientCertFile;
    client_key_file = cfg.clientKeyFile;
    ca_cert_file = cfg.caCertFile;
    signing_key_file = cfg.signingKeyFile;
    encryption_key_file = cfg.encryptionKeyFile;
  };
  needed = lib.filterAttrs (_: path: path != null) secrets;
  logons = lib.mapAttrs' (host: lib.nameValuePair "${host}.yaml") cfg.windowsCredentialFiles;
  required = removeAttrs secrets [ "encryption_key_file" ];

  inStore = path: builtins.isPath path || lib.hasPrefix "${builtins.storeDir}/" (toString path);
  exposed = lib.filterAttrs (_: inStore) (removeAttrs needed [ "ca_cert_file" ] // logons);
in
{
  options.services.msp-agent = {
    clientCertFile = file "/etc/msp/identity.pem" "This appliance's certificate. A renewed one is kept in the service's own folder.";
    clientKeyFile = file "/etc/msp/identity.pem" "Its key; it may be the same file.";
    caCertFile = file "/etc/msp/ca.pem" "Central Command's authority. No secret: it may lie in the store.";
    signingKeyFile = file "/etc/msp/signing.pem" "The key that signs evidence.";
    encryptionKeyFile = file "/etc/msp/encryption.key" "The key that opens Windows credentials from Central Command; `null`: none are sent.";
    windowsCredentialFiles = mkOption {
      type = types.attrsOf types.path;
      default = { };
      example = {
        DC01 = "/run/secrets/dc01.yaml";
      };
      description = "How to log on to Windows servers: by host name, a file with `username:` and `password:`. They outweigh what Central Command sends.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.msp-agent.settings =
      lib.mapAttrs (key: _: "${handedOver}/${key}") needed
      // lib.optionalAttrs (logons != { }) { windows_credentials_dir = handedOver; };

    systemd.services.msp-agent = {
      serviceConfig.LoadCredential = lib.mapAttrsToList (name: path: "${name}:${toString path}") (
        needed // logons
      );
      # Not enrolled yet is no failure: `systemctl status` names the file that is waited for.
      unitConfig.ConditionPathExists = lib.unique (map toString (lib.attrValues needed));
    };

    assertions =
      lib.mapAttrsToList (key: path: {
        assertion = path != null;
        message = ''services.msp-agent has no file for ${key}: name one, for example services.msp-agent.signingKeyFile = "/etc/msp/signing.pem"; `msp-agent enroll` makes all of them'';
      }) required
      ++ lib.mapAttrsToList (name: path: {
        assertion = false;
        message = ''services.msp-agent: ${name} (${toString path}) is in the store or a path literal that goes there, where everybody can read it: write a string that names a file of the machine, for example "/run/secrets/${name}"'';
      }) exposed;
  };
}
