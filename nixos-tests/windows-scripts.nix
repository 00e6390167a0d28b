# The runbooks' scripts under PowerShell itself. Windows' own cmdlets are not there; windows-stubs.ps1 stands in for those
# that one runbook uses, with a state that can be looked at.
{ ... }:
{
  name = "msp-windows-scripts";
  nodes.machine =
    { pkgs, ... }:
    {
      environment.systemPackages = [ pkgs.powershell ];
      virtualisation.memorySize = 2048;
    };

  scenario = ''
    import json

    scripts = "${../rules/runbooks}"
    machine.wait_for_unit("multi-user.target")

    with subtest("PowerShell's parser takes every script"):
        machine.succeed(f"pwsh -NoProfile -File ${./common/parse.ps1} {scripts}")

    def phase(name, state):
        body = f"{scripts}/RB-WIN-FIREWALL-001/{name}.ps1"
        line = f"pwsh -NoProfile -File ${./common/windows-stubs.ps1} {body} {state}"
        return json.loads(machine.succeed(line).strip().splitlines()[-1])

    with subtest("a profile that is off is found, turned on, and found to be on"):
        machine.succeed("echo '{\"Domain\":\"True\",\"Private\":\"True\",\"Public\":\"False\"}' > /tmp/state.json")
        seen = phase("detect", "/tmp/state.json")
        assert seen["status"] == "drift" and seen["observed"]["profiles"]["Public"] == "False", seen
        done = phase("remediate", "/tmp/state.json")
        assert done["changed"] and done["status"] == "compliant", done
        assert phase("verify", "/tmp/state.json")["status"] == "compliant"

    with subtest("where nothing is wrong nothing is changed"):
        assert not phase("remediate", "/tmp/state.json")["changed"]
  '';
}
