# The appliance itself drifts. What root's list allows is healed and proved; the rest goes to a person and is left alone.
{ roles, ... }:
{
  name = "msp-drift-and-heal";
  nodes.central = roles.central;
  nodes.apl1 =
    { lib, pkgs, ... }:
    {
      imports = [ roles.appliance ];
      systemd.services = lib.genAttrs [ "web" "mail" ] (_: {
        wantedBy = [ "multi-user.target" ];
        serviceConfig.ExecStart = "${pkgs.coreutils}/bin/sleep infinity";
      });
      services.msp-agent = {
        baseline.appliance.services.running = [
          "web.service"
          "mail.service"
        ];
        executor.units = [ "web.service" ];
      };
    };

  scenario = ''
    start_all()
    open_central()
    enrol(apl1)
    wait_delivered(apl1)

    def known(check, state):
        def found():
            incidents = ask(apl1, "incidents")["incidents"]
            return [one for one in incidents if (one["check"], one["state"]) == (check, state)]
        retry(lambda _: found() != [])
        return found()[0]

    with subtest("a unit that stopped is started, and that is proved"):
        apl1.succeed("systemctl stop web")
        healed = known("services", "resolved")
        assert (healed["runbook_id"], healed["outcome"]) == ("RB-HOST-SVC-001", "fixed"), healed
        apl1.succeed("systemctl is-active web")
        bundle = json.loads(apl1.succeed(agent(f"evidence show {healed['evidence_id']}")))
        assert [one["phase"] for one in bundle["actions"]] == ["remediate", "verify"], bundle
        apl1.succeed(f"journalctl MSP_INCIDENT_ID={healed['incident_id']} | grep healing")

    with subtest("one that root's list does not name stays as it is, and a person is asked"):
        apl1.succeed("systemctl stop mail")
        assert "list" in known("services", "escalated")["error"]
        apl1.fail("systemctl is-active mail")

    with subtest("so with a packet filter that was flushed"):
        apl1.succeed("nft flush ruleset")
        assert known("firewall", "escalated")["rule_id"] == "L1-NIXOS-FW-001"
        apl1.succeed("test -z \"$(nft list ruleset)\"")

    with subtest("Central Command hears of all of it"):
        wait_delivered(apl1)
        proved(apl1)
        told = {one["incident_type"] for one in json.loads(command("list incidents", "--json"))}
        assert told >= {"services", "firewall"}, told
  '';
}
