# A push from another machine heals a stopped unit at once; nobody else's push does anything, and a closed port is closed.
{ roles, ... }:
{
  name = "msp-sensor-listener";
  nodes.central = roles.central;
  nodes.apl1 =
    { config, lib, ... }:
    {
      imports = [ roles.appliance ];
      systemd.services.web = {
        wantedBy = [ "multi-user.target" ];
        script = "sleep infinity";
      };
      services.msp-agent = {
        # The push alone can be the cause of a look.
        settings.host_check_interval = lib.mkForce 86000;
        executor.units = [ "web.service" ];
        baseline.appliance.services.running = [ "web.service" ];
        listener = {
          enable = true;
          address = config.networking.primaryIPAddress;
          openFirewall = true;
        };
      };
    };

  scenario = ''
    import base64, hashlib, hmac

    start_all()
    open_central()
    enrol(apl1)
    wait_delivered(apl1)


    def push(key, name):
        """Pushes from another machine; the status code."""
        body = json.dumps({"host": "apl1", "check_type": "services"})
        now = apl1.succeed("date +%s").strip()
        mac = hmac.new(base64.b64decode(key.removeprefix("whsec_")), f"{name}.{now}.{body}".encode(), hashlib.sha256)
        headers = {"id": name, "timestamp": now, "signature": "v1," + base64.b64encode(mac.digest()).decode()}
        words = " ".join(f"-H 'webhook-{header}: {value}'" for header, value in headers.items())
        return central.succeed(f"curl -sS -o /dev/null -w '%{{http_code}}' {words} -d '{body}' http://apl1:8446/v1/drift")


    with subtest("without a file of keys the agent works, and nobody may push"):
        assert push("whsec_" + 43 * "A" + "=", "a") == "401"
    with subtest("a sensor's push heals"):
        key = apl1.succeed("msp-agent sensor add central").splitlines()[0]
        apl1.succeed("systemctl restart msp-agent && systemctl stop web")
        assert push(key, "b") == "202"
        apl1.wait_until_succeeds("systemctl is-active web")
        apl1.wait_until_succeeds(f"{agent('incidents --json')} | grep -q RB-HOST-SVC-001")
        proved(apl1)
    with subtest("a stopped agent is not started by a packet"):
        apl1.succeed("systemctl stop msp-agent")
        apl1.fail("ss -Hltn | grep :8446")
  '';
}
