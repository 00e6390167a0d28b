# The power goes, again and again, at no particular moment. What was acknowledged is there, and the chain is whole.
{ roles, ... }:
{
  name = "msp-power-cut";
  nodes.central = roles.central;
  nodes.apl1 = roles.appliance;

  scenario = ''
    start_all()
    open_central()
    enrol(apl1)
    wait_delivered(apl1)
    known = proved(apl1)

    for number in range(3):
        with subtest(f"power cut {number + 1}"):
            # Something to write about while the power goes.
            apl1.fail(f"systemd-run --unit=broken{number} --wait false")
            apl1.crash()
            apl1.start()
            apl1.wait_for_unit("msp-agent")
            wait_delivered(apl1)
            now = proved(apl1)
            assert now >= known, f"{known} bundles were proved, {now} are there"
            known = now

    with subtest("Central Command holds no contradiction"):
        chains = json.loads(command("list", "evidence", "--site", SITE, "--json"))["chains"]
        assert [(one["gaps"], one["forks"], one["broken"]) for one in chains] == [(0, 0, 0)], chains
  '';
}
