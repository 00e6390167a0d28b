# Configurations that must not be built, and the words that have to stand in the refusal. A flake check evaluates them.
{
  self,
  pkgs,
  lib,
}:
let
  sound = {
    site_id = "clinic-a";
    mcp_url = "https://central.example.org:8443";
    mcp_public_key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
  };
  agent = settings: more: {
    services.msp-agent = {
      enable = true;
      settings = sound // settings;
    }
    // more;
  };
  central = more: {
    services.msp-central = {
      enable = true;
      names = [ "central.example.org" ];
    }
    // more;
  };
  messages =
    module:
    let
      system = import (pkgs.path + "/nixos/lib/eval-config.nix") {
        inherit (pkgs.stdenv.hostPlatform) system;
        modules = [
          self.nixosModules.default
          self.nixosModules.msp-central
          { system.stateVersion = "26.05"; }
          module
        ];
      };
      broken = lib.filter (one: !one.assertion) system.config.assertions;
    in
    lib.filter (lib.hasInfix "services.msp-") (map (one: one.message) broken);

  # module -> the beginning of what has to be said, and what to write
  cases = {
    sound = {
      module = agent { } { };
      said = [ ];
    };
    central-sound = {
      module = central { };
      said = [ ];
    };
    no-site = {
      module = agent { site_id = null; } { };
      said = [ ''settings.site_id = "clinic-a";'' ];
    };
    no-url = {
      module = agent { mcp_url = null; } { };
      said = [ "settings.mcp_url =" ];
    };
    no-key = {
      module = agent { mcp_public_key = null; } { };
      said = [ "signing.pub" ];
    };
    reseller = {
      module = agent { deployment_mode = "reseller"; } { };
      said = [ "reseller_id" ];
    };
    two-windows = {
      module = agent {
        maintenance_window = "01:00-02:00";
        maintenance_window_start = "01:00";
        maintenance_window_end = "02:00";
      } { };
      said = [ "twice" ];
    };
    half-a-window = {
      module = agent { maintenance_window_start = "01:00"; } { };
      said = [ "write both" ];
    };
    key-literal = {
      module = agent { } { signingKeyFile = ./refusals.nix; };
      said = [ "/run/secrets/signing_key_file" ];
    };
    key-in-store = {
      module = agent { } { clientKeyFile = "${builtins.storeDir}/key.pem"; };
      said = [ "/run/secrets/client_key_file" ];
    };
    logon-in-store = {
      module = agent { } { windowsCredentialFiles.DC01 = ./refusals.nix; };
      said = [ "/run/secrets/DC01.yaml" ];
    };
    no-signing-key = {
      module = agent { } { signingKeyFile = null; };
      said = [ "msp-agent enroll" ];
    };
    egress-without-nftables = {
      module = agent { } {
        egress.enable = true;
        egress.allow = [
          {
            address = "203.0.113.7";
            ports = [ 8443 ];
          }
        ];
      };
      said = [ "networking.nftables.enable = true;" ];
    };
    egress-to-nobody = {
      module = {
        imports = [ (agent { } { egress.enable = true; }) ];
        networking.nftables.enable = true;
      };
      said = [ "egress.allow is empty" ];
    };
    listener-nowhere = {
      module = agent { } { listener.enable = true; };
      said = [ ''listener.address = "192.168.10.2";'' ];
    };
    listener-key-in-store = {
      module = agent { } {
        listener = {
          enable = true;
          address = "192.168.10.2";
          keysFile = ./refusals.nix;
        };
      };
      said = [ "/run/secrets/sensors.json" ];
    };
    no-firewall-to-restore = {
      module = {
        imports = [ (agent { } { executor.restoreFirewall = true; }) ];
        networking.firewall.enable = false;
      };
      said = [ "networking.firewall.enable = true;" ];
    };
    orders-of-nobody = {
      module = agent { } {
        generations.orders = true;
        generations.publicKeys = [ ];
      };
      said = [ "generations.publicKeys" ];
    };
    switch-without-nix = {
      module = {
        imports = [ (agent { } { generations.restoreDeclared = true; }) ];
        nix.enable = false;
      };
      said = [ "nix.enable = true;" ];
    };
    central-without-names = {
      module = central { names = [ ]; };
      said = [ "services.msp-central.names = " ];
    };
    central-half-a-certificate = {
      module = central { peopleCertFile = "/etc/people.pem"; };
      said = [ "write both or neither" ];
    };
    central-key-in-store = {
      module = central {
        peopleCertFile = "/etc/people.pem";
        peopleKeyFile = ./refusals.nix;
      };
      said = [ "/run/secrets/people-key.pem" ];
    };
    central-open-http = {
      module = central {
        settings = {
          people = "0.0.0.0:8444";
          people-http = true;
        };
      };
      said = [ "loopback only" ];
    };
    central-open-metrics = {
      module = central { settings.metrics = "0.0.0.0:9464"; };
      said = [ "127.0.0.1:9464" ];
    };
  };
  judged = lib.mapAttrs (
    name: case:
    let
      got = messages case.module;
    in
    if lib.length got == lib.length case.said && lib.all (word: lib.any (lib.hasInfix word) got) case.said then
      true
    else
      throw "${name}: expected a message with ${lib.generators.toPretty { } case.said}, got ${lib.generators.toPretty { } got}"
  ) cases;
in
pkgs.runCommand "refusals" { judged = toString (lib.attrValues judged); } "touch $out"
