//! The sensor listener on a booted systemd, with the units as the module generates them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use msp_suite::machine::Machine;
use msp_suite::machine_or_skip;
use msp_suite::sensor::Sensor;
use serde_json::Value;

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../machine/units/msp-agent-sensor.socket");
/// What the unit says.
const ADDRESS: &str = "192.168.10.2";
const PORT: &str = "8446";

/// Pushes from inside the machine, without any tool of HTTP; the answer's first line.
fn push(machine: &Machine, sensor: &Sensor, id: &str) -> String {
    let request = sensor.push(id, 0, r#"{"host": "appliance-1", "check_type": "critical_services"}"#).unwrap();
    let request = STANDARD.encode(request);
    let line = format!("exec 3<>/dev/tcp/{ADDRESS}/{PORT}; base64 -d <<<{request} >&3; timeout 20 head -n1 <&3");
    machine.sh(&line).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_push_to_systemds_socket_heals_a_stopped_unit_and_without_that_socket_nothing_listens() -> anyhow::Result<()>
{
    let machine =
        machine_or_skip!("a_push_to_systemds_socket_heals_a_stopped_unit_and_without_that_socket_nothing_listens");
    // So slow that the push alone can be the cause of a look.
    let config = std::fs::read_to_string(machine.folder().join("upper/etc/msp/config.yaml"))?;
    let config = config.replace("host_check_interval: 1\n", "host_check_interval: 86000\n");
    machine.lay("etc/msp/config.yaml", &config, 0o644)?;
    machine.boot(&[])?;
    machine.until("systemctl is-active msp-agent.service web.service")?;
    // Off by default: no port, whatever the address.
    machine.until("msp-agent status --config /etc/msp/config.yaml | grep -q 'incidents'")?;
    assert_eq!(machine.sh("ss -Hltnu")?.trim(), "", "nothing listens");
    let status = machine.agent(&["status", "--json"])?;
    assert_eq!(status["status"]["sensor"], Value::Null, "{status}");

    // Switched on, as the module does it: the key's path in the configuration, the socket's unit, and one start. While
    // there is no file of keys, the agent runs, and nobody may push.
    let named = "sensor_keys_file: /run/credentials/msp-agent.service/sensor_keys_file";
    machine.sh(&format!("ip addr add {ADDRESS}/32 dev lo; echo {named} >>/etc/msp/config.yaml"))?;
    let unit = STANDARD.encode(std::fs::read(UNIT)?);
    machine
        .sh(&format!("base64 -d <<<{unit} >/etc/systemd/system/msp-agent-sensor.socket; systemctl daemon-reload"))?;
    machine.sh("systemctl restart msp-agent.service")?;
    let listening = format!("ss -Hltn | grep -q '{ADDRESS}:{PORT} '");
    machine.until(&listening)?;
    let stranger = Sensor::with_key("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")?;
    assert_eq!(push(&machine, &stranger, "a"), "HTTP/1.1 401 Unauthorized");

    let said = machine.sh("msp-agent sensor add web-watch; stat -c '%a %U' /etc/msp/sensors.json")?;
    assert!(said.contains("600 root"), "{said}");
    let sensor = Sensor::with_key(said.lines().next().unwrap())?;
    machine.sh("systemctl restart msp-agent.service")?;
    machine.until("systemctl is-active msp-agent.service msp-agent-sensor.socket")?;
    assert_eq!(push(&machine, &sensor, "b"), "HTTP/1.1 202 Accepted");
    machine.until("journalctl --no-pager -t msp-agent | grep -q 'looked, as a sensor asked'")?;
    machine.sh("systemctl stop web.service; sleep 2; ! systemctl is-active web.service")?;
    assert_eq!(push(&machine, &sensor, "c"), "HTTP/1.1 202 Accepted");
    let healed =
        machine.incident("web.service runs again", |one| one["check"] == "services" && one["state"] == "resolved")?;
    assert_eq!((&healed["runbook_id"], &healed["outcome"]), (&"RB-HOST-SVC-001".into(), &"fixed".into()), "{healed}");
    assert_eq!(machine.sh("systemctl is-active web.service")?.trim(), "active");
    let told = machine.sh("journalctl --no-pager -o json MSP_SENSOR=web-watch")?;
    assert!(told.contains("MSP_WEBHOOK_ID") && told.contains("MSP_CHECK"), "{told}");
    assert_eq!(machine.agent(&["evidence", "verify", "--json"])?["ok"], true);

    // A crash keeps the socket: what is pushed meanwhile waits for the next start.
    machine.sh("systemctl kill -s KILL msp-agent.service")?;
    machine.sh(&listening)?;
    machine.until(
        "test \"$(systemctl show -P NRestarts msp-agent.service)\" -ge 1 && systemctl is-active msp-agent.service",
    )?;
    assert_eq!(push(&machine, &sensor, "d"), "HTTP/1.1 202 Accepted");
    // With keys that cannot be used systemd listens all the same, and the agent says what is wrong.
    machine.sh(
        "cp -p /etc/msp/sensors.json /root/; echo nonsense >/etc/msp/sensors.json; systemctl restart msp-agent.service",
    )?;
    machine.until("systemctl is-active msp-agent.service")?;
    assert_eq!(push(&machine, &sensor, "e"), "HTTP/1.1 503 Service Unavailable");
    machine.sh("mv /root/sensors.json /etc/msp/; systemctl restart msp-agent.service")?;
    machine.until("systemctl is-active msp-agent.service")?;
    assert_eq!(push(&machine, &sensor, "f"), "HTTP/1.1 202 Accepted");
    let told = machine.sh("journalctl --no-pager -o cat -t msp-agent -g 'push is (refused|taken)'")?;
    for said in [
        "refused: unauthenticated, from 192.168.10.2: no signature",
        "taken: web-watch asks for services of appliance-1",
    ] {
        assert!(told.contains(said), "{told}");
    }
    // A stop closes it: no packet starts the agent again.
    machine.sh("systemctl stop msp-agent.service")?;
    assert_eq!(machine.sh("ss -Hltnu")?.trim(), "", "nothing listens");
    Ok(())
}
