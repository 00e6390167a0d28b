# A signed order switches the system, and it is kept; one with a unit that fails is left again, and that stays visible.
{ roles, ... }:
{
  name = "msp-generations";
  nodes.central = roles.central;
  nodes.apl1 = {
    imports = [ roles.appliance ];
    services.msp-agent.generations.orders = true;
    services.msp-agent.generations.confirmSeconds = 60;
    services.msp-agent.settings.allow_disruptive_outside_window = true;
    virtualisation.writableStore = true;
    specialisation.next.configuration.environment.etc.next.text = "";
    specialisation.bad.configuration.systemd.services.bad = {
      wantedBy = [ "multi-user.target" ];
      serviceConfig.ExecStart = "/bin/false";
    };
  };

  scenario = ''
    start_all()
    open_central()
    enrol(apl1)
    profile = "/nix/var/nix/profiles/system"

    def runs():
        return apl1.succeed("readlink -f /run/current-system").strip()

    def trust():
        """Whom root believes is declared, and here known too late for that: every activation declares it anew."""
        key = central.succeed(f"cat {DIR}/signing.pub").strip()
        change = f'.switch.server_public_keys = ["{key}"]'
        apl1.succeed(f"jq '{change}' /etc/msp-agent/act.json > /root/act.json")
        apl1.succeed("install -m 0644 --remove-destination /root/act.json /etc/msp-agent/act.json")
        apl1.succeed("cp --remove-destination $(readlink -f /etc/nix/nix.conf) /root/nix.conf")
        apl1.succeed("echo \"extra-trusted-public-keys = $(cat /root/key.pub)\" >> /root/nix.conf")
        apl1.succeed("install -m 0644 --remove-destination /root/nix.conf /etc/nix/nix.conf")

    with subtest("root trusts this Central Command and this signer, and what runs is declared"):
        first = runs()
        paths = {name: apl1.succeed(f"readlink -f {first}/specialisation/{name}").strip() for name in ["next", "bad"]}
        key = central.succeed(f"cat {DIR}/signing.pub").strip()
        apl1.succeed("nix-store --generate-binary-cache-key test-1 /root/key.sec /root/key.pub")
        trust()
        sign = "nix --extra-experimental-features nix-command store sign --recursive --key-file /root/key.sec"
        apl1.succeed(f"{sign} {first} {paths['next']} {paths['bad']}")
        apl1.succeed(f"nix-env --profile {profile} --set {first}; msp-agent generations accept")
        wait_delivered(apl1)

    def ordered(name):
        command("order issue", SITE, "apl1", "switch-generation", paths[name], "--reason test")
        done = lambda: [row for row in json.loads(command("order list", "--site", SITE, "--json")) if row["state"] == "completed"]
        count = len(done())
        retry(lambda _: len(done()) > count, timeout_seconds=300)

    with subtest("a good one is kept"):
        ordered("next")
        apl1.succeed("test -e /etc/next")
        assert apl1.succeed(f"readlink -f {profile}").strip() == runs() == paths["next"]

    with subtest("one that fails is left, and a person sees it"):
        trust()
        ordered("bad")
        assert runs() == paths["next"]
        apl1.succeed("msp-agent generations list | grep 'rolled back: newly failed: bad.service'")
        proved(apl1)
  '';
}
