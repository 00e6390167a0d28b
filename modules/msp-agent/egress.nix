# Whom the agent may talk to: a table of its own, which judges the packets of the agent's user and nobody else's.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.msp-agent;
  inherit (lib) mkOption types;
  # A resolver may be written with its name, as systemd-resolved takes it: 9.9.9.9#dns.quad9.net.
  resolvers = map (server: lib.head (lib.splitString "#" server)) config.networking.nameservers;
  family = address: if lib.hasInfix ":" address then "ip6" else "ip";
  accept =
    { address, ports }:
    "${family address} daddr ${address} tcp dport { ${lib.concatMapStringsSep ", " toString ports} } accept";
in
{
  options.services.msp-agent.egress = {
    enable = lib.mkEnableOption "an allowlist of whom the agent may talk to; everything else of its user is refused and counted";
    allow = mkOption {
      default = [ ];
      description = "Central Command and the Windows servers, by address: a name would be looked up once, when the table is loaded.";
      example = lib.literalExpression ''[ { address = "192.168.10.0/24"; ports = [ 5985 5986 ]; } ]'';
      type = types.listOf (
        types.submodule {
          options = {
            address = mkOption {
              type = types.strMatching "[0-9a-fA-F.:]+(/[0-9]{1,3})?";
              description = "An address, or a network as address/length.";
            };
            ports = mkOption {
              type = types.nonEmptyListOf types.port;
              description = "TCP ports.";
            };
          };
        }
      );
    };
  };

  config = lib.mkIf (cfg.enable && cfg.egress.enable) {
    networking.nftables.tables.msp-agent = {
      family = "inet";
      content = ''
        chain output {
          type filter hook output priority filter; policy accept;
          meta skuid != msp-agent accept
          oifname lo accept
          ct state established,related accept
          ${lib.concatMapStrings (address: ''
            ${family address} daddr ${address} meta l4proto { tcp, udp } th dport 53 accept
          '') resolvers}
          ${lib.concatMapStringsSep "\n" accept cfg.egress.allow}
          limit rate 6/minute log prefix "msp-agent egress refused: "
          counter reject with icmpx admin-prohibited
        }
      '';
    };
    # The table is checked where the system is built, and no such user is there.
    networking.nftables.preCheckRuleset = ''
      sed -i 's/skuid != msp-agent/skuid != nobody/' ruleset.conf
    '';

    assertions = [
      {
        assertion = config.networking.nftables.enable;
        message = "services.msp-agent.egress needs nftables: write networking.nftables.enable = true;";
      }
      {
        assertion = cfg.egress.allow != [ ];
        message = ''services.msp-agent.egress.allow is empty, so the agent would reach nobody: write Central Command's address, for example { address = "203.0.113.7"; ports = [ 8443 ]; }'';
      }
    ];
  };
}
