# What the daemon's unit and the egress table keep from it, tried as the daemon.
{ roles, ... }:
{
  name = "msp-hardening";
  nodes.central = roles.central;
  nodes.apl1 =
    { nodes, ... }:
    {
      imports = [ roles.appliance ];
      services.msp-agent.egress = {
        enable = true;
        allow = [
          {
            address = nodes.central.networking.primaryIPAddress;
            ports = [
              8443
              8445
            ];
          }
        ];
      };
    };

  scenario = ''
    start_all()
    open_central()
    enrol(apl1)
    wait_delivered(apl1)

    with subtest("exposure"):
        apl1.succeed("systemd-analyze security --no-pager --threshold=13 msp-agent")
        central.succeed("systemd-analyze security --no-pager --threshold=13 msp-central")

    with subtest("no capabilities, and none to get"):
        pid = apl1.succeed("systemctl show -P MainPID msp-agent").strip()
        status = apl1.succeed(f"cat /proc/{pid}/status")
        for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"]:
            assert line in status, f"{line} is not in\n{status}"

    with subtest("its user starts nothing and writes nothing of the system's"):
        as_agent = "runuser -u msp-agent --"
        apl1.fail(f"{as_agent} systemctl restart sshd systemd-journald")
        apl1.fail(f"{as_agent} systemd-run --system true")
        apl1.fail(f"{as_agent} busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 "
            + "org.freedesktop.systemd1.Manager PowerOff")
        inside = f"nsenter --target {pid} --mount -- setpriv --reuid msp-agent --regid msp-agent --clear-groups"
        apl1.fail(f"{inside} touch /etc/msp/x")
        apl1.fail(f"{inside} ls /root")
        apl1.succeed(f"{inside} touch /var/lib/msp/.try && rm /var/lib/msp/.try")

    with subtest("it reaches Central Command and nobody else"):
        apl1.succeed("nft list table inet msp-agent")
        connect = "timeout 3 bash -c '</dev/tcp/central/{}'"
        apl1.succeed(f"runuser -u msp-agent -- {connect.format(8443)}")
        apl1.fail(f"runuser -u msp-agent -- {connect.format(8444)}")
        assert "packets 0 " not in apl1.succeed("nft list table inet msp-agent | grep counter")
  '';
}
