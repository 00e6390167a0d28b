# Two appliances and a Windows server: one of them heals what went wrong there, the other leaves it alone.
{ roles, ... }:
{
  name = "msp-clinic";
  nodes.central = roles.central;
  nodes.apl1 = roles.appliance;
  nodes.apl2 = roles.appliance;
  nodes.fs01 = roles.windows;

  scenario = ''
    start_all()
    open_central()
    enrol(apl1)
    enrol(apl2)
    fs01.wait_for_open_port(5985)

    with subtest("the server is given to the first appliance"):
        target = {"hostname": "FS01", "ip_address": address(fs01), "transport": "http", "appliance": "apl1"}
        central.succeed(f"echo '{json.dumps([target])}' > {DIR}/targets.json; chmod 0644 {DIR}/targets.json")
        command("targets set", "--site", SITE, f"{DIR}/targets.json")
        central.succeed(f"printf Correct-Horse-9 > {DIR}/password; chown msp-central {DIR}/password")
        command("targets credentials set", "--username svc-msp", f"--password-file {DIR}/password", SITE, "FS01")
        apl1.wait_until_succeeds(agent("targets") + " | grep FS01")

    def healed(machine):
        incidents = ask(machine, "incidents")["incidents"]
        return [one for one in incidents if one["check"] == "firewall" and one["outcome"] == "fixed"]

    with subtest("its firewall is turned off, and on again"):
        fs01.succeed("curl -fsS -d '{\"kind\":\"firewall_profile_off\",\"profile\":\"Public\"}' http://127.0.0.1:5987/drift")
        with apl1.nested("waiting for the heal"):
            retry(lambda _: len(healed(apl1)) == 1)
        fs01.succeed("curl -fsS http://127.0.0.1:5987/ledger | grep -i firewall")

    with subtest("by one of them, with proof of both"):
        assert healed(apl2) == []
        for machine in [apl1, apl2]:
            wait_delivered(machine)
            proved(machine)
        assert "FS01" in command("list", "incidents", "--json")
  '';
}
