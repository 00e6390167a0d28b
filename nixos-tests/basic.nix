# An appliance joins, reports, and proves what it saw. What it is trusted with nobody else can read.
{ roles, ... }:
{
  name = "msp-basic";
  nodes.central = roles.central;
  nodes.apl1 = roles.appliance;

  scenario = ''
    start_all()
    open_central()

    with subtest("before enrolment the service waits, and has not failed"):
        apl1.wait_for_unit("multi-user.target")
        state = apl1.succeed("systemctl show -p ActiveState -p ConditionResult msp-agent")
        assert "ActiveState=inactive" in state and "ConditionResult=no" in state, state
        apl1.succeed("test -z \"$(systemctl --failed --no-legend)\"")

    with subtest("enrolled, it works, says how it stands, and has its old name"):
        enrol(apl1)
        apl1.succeed("systemctl is-active compliance-agent")
        apl1.wait_until_succeeds("systemctl show -p StatusText msp-agent | grep -E 'StatusText=.+'")
        wait_delivered(apl1)
        proved(apl1)
        appliances = command("list", "appliances", "--json")
        assert '"apl1"' in appliances, appliances

    with subtest("keys are handed over, not laid open"):
        apl1.fail("runuser -u nobody -- cat /etc/msp/signing.pem")
        apl1.fail("runuser -u nobody -- cat /run/credentials/msp-agent.service/signing_key_file")
        apl1.fail("grep -rl 'PRIVATE KEY' $(readlink -f /etc/msp/config.yaml)")

    with subtest("a stop is clean and soon"):
        apl1.succeed("timeout 5 systemctl stop msp-agent")
        apl1.succeed("test $(systemctl show -P Result msp-agent) = success")
  '';
}
