# Central Command is away, the appliance restarts meanwhile, and nothing of what happened is lost.
{ roles, ... }:
{
  name = "msp-offline";
  nodes.central = roles.central;
  nodes.apl1 = roles.appliance;

  scenario = ''
    start_all()
    open_central()
    enrol(apl1)
    wait_delivered(apl1)
    before = proved(apl1)

    with subtest("what happens without Central Command is kept"):
        central.succeed("systemctl stop msp-central")
        # A unit that fails is drift that the appliance sees in itself.
        apl1.fail("systemd-run --unit=broken --wait false")
        apl1.wait_until_succeeds(f"{agent('queue list --json')} | jq -e '.queue != []'")

    with subtest("also across a restart of the machine"):
        owed = len(ask(apl1, "queue list")["queue"])
        apl1.shutdown()
        apl1.start()
        apl1.wait_for_unit("msp-agent")
        now = len(ask(apl1, "queue list")["queue"])
        assert now >= owed, f"{owed} reports were owed, {now} are"

    with subtest("and arrives when Central Command is back"):
        central.succeed("systemctl start msp-central")
        wait_delivered(apl1)
        assert proved(apl1) > before
        assert ask(apl1, "queue rejected")["queue"] == []
        assert "services" in command("list", "incidents", "--json")
  '';
}
