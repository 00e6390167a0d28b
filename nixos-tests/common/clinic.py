# The words of the scenarios.
import json

SITE = "clinic-a"
DIR = "/var/lib/msp-central"


def command(what, *arguments):
    """A command of Central Command, as its user."""
    line = " ".join(arguments)
    return central.succeed(f"runuser -u msp-central -- msp-central {what} --dir {DIR} {line}")


def agent(what):
    """The line for a command of the agent, with the trust that the service has."""
    return f"set -a; . /etc/msp/trust.env; set +a; msp-agent {what}"


def ask(machine, what):
    """What the agent says as JSON."""
    return json.loads(machine.succeed(agent(f"{what} --json")))


def open_central():
    central.wait_for_unit("msp-central")
    central.wait_for_open_port(8443)
    central.wait_for_open_port(8445)


def enrol(machine):
    """Joins the fleet under the machine's own name, and starts the agent."""
    machine.wait_for_unit("multi-user.target")
    token = command("enroll-token", SITE, "--appliance", machine.name).strip()
    machine.succeed("install -d /etc/msp")
    # The configuration is NixOS's: enrolment leaves it alone and prints the lines that it needs.
    machine.succeed(f"echo {token} | msp-agent enroll --server https://central:8445 --token-file -")
    key = central.succeed(f"cat {DIR}/signing.pub").strip()
    machine.succeed(f"echo MSP_MCP_PUBLIC_KEY={key} > /etc/msp/trust.env")
    machine.succeed("systemctl start msp-agent")
    machine.wait_for_unit("msp-agent")


def wait_delivered(machine):
    """Waits until there is evidence, and Central Command has acknowledged all that is owed."""
    quiet = "jq -e '(.evidence | length) > 0'"
    machine.wait_until_succeeds(f"{agent('evidence list --json')} | {quiet}")
    machine.wait_until_succeeds(f"{agent('queue list --json')} | jq -e '.queue == []'")


def proved(machine):
    """Every signature, the chain, its end and the receipts hold; returns how many bundles there are."""
    report = ask(machine, "evidence verify")
    assert report["ok"] and report["count"] > 0, report
    return report["count"]


def address(machine):
    return json.loads(machine.succeed("ip -j -4 address show eth1"))[0]["addr_info"][0]["local"]
