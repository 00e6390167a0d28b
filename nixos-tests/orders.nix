# A signed order is carried out once. Again, changed, or without a signature it is nothing.
{ roles, ... }:
{
  name = "msp-orders";
  nodes.central = roles.central;
  nodes.apl1 = roles.appliance;

  scenario = ''
    start_all()
    open_central()
    enrol(apl1)
    wait_delivered(apl1)

    def order(state):
        orders = json.loads(command("order list", "--site", SITE, "--json"))
        found = [row for row in orders if row["state"] == state]
        return found[0]["order_id"] if found else None

    with subtest("an order that is waiting would be accepted"):
        apl1.succeed("systemctl stop msp-agent")
        command("order issue", SITE, "apl1", "run-check --check firewall --reason test")
        number = order("pending")
        assert number, "no order is pending"
        command("order show", number, "--out /var/lib/msp-central/order.json")
        envelope = central.succeed(f"cat {DIR}/order.json").strip()
        apl1.succeed(f"echo '{envelope}' > /root/order.json")
        apl1.succeed(agent("orders verify /root/order.json"))

    with subtest("a changed one would not"):
        changed = json.loads(envelope)
        changed["payload"] = changed["payload"][:-8] + "AAAAAAA="
        apl1.succeed(f"echo '{json.dumps(changed)}' > /root/changed.json")
        apl1.fail(agent("orders verify /root/changed.json"))

    with subtest("it is carried out, and its completion arrives"):
        apl1.succeed("systemctl start msp-agent")
        with central.nested("waiting for the completion"):
            retry(lambda _: order("completed") == number)

    with subtest("the same order again is refused"):
        apl1.fail(agent("orders verify /root/order.json"))
        proved(apl1)
  '';
}
