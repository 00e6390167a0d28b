//! Orders to switch, as whoever owns the daemon might ask for them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod machine;

use std::time::Duration;

use ed25519_dalek::SigningKey;
use jiff::{SignedDuration, Timestamp};
use machine::{Machine, line, request};
use msp_agent_act::protocol::{Operation, Reply, Request};
use msp_agent_switch::now;
use msp_agent_switch::places::Places;
use msp_agent_switch::record::{self, Asked, Record, State};
use msp_contracts::dsse::Signed;
use msp_contracts::ids::{ChainId, Counter, OrderId};
use msp_contracts::keys;
use msp_contracts::order::{Order, OrderAction};
use msp_contracts::signed::Stamp;
use msp_contracts::store_path::StorePath;

fn system(letter: char) -> StorePath {
    let hash: String = std::iter::repeat_n(letter, 32).collect();
    StorePath::try_from(format!("/nix/store/{hash}-nixos-system-clinic")).unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn order(sequence: u64) -> Order {
    let now: Timestamp = now();
    Order {
        schema_version: 1,
        order_id: OrderId::from_random([sequence as u8; 6]),
        stamp: Stamp {
            site_id: "clinic-a".into(),
            appliance: "apl-1".into(),
            issued: now - SignedDuration::from_hours(2),
            // Accepted long ago: it waited for its window.
            expires: now - SignedDuration::from_hours(1),
            sequence: Counter(sequence),
        },
        chain: ChainId::from_random([0; 8]),
        execute_by: now + SignedDuration::from_hours(1),
        action: OrderAction::SwitchGeneration { store_path: system('a') },
        issued_by: "alice".into(),
        reason: "the monthly update".into(),
    }
}

fn asks(order: &Order, key: &SigningKey) -> Vec<u8> {
    let envelope = String::from_utf8(order.sign(key).unwrap().to_bytes().unwrap()).unwrap();
    asks_with(&envelope)
}

fn asks_with(envelope: &str) -> Vec<u8> {
    let operation = Operation::SwitchGeneration { order: envelope.to_owned(), contact: true };
    line(&Request { operation, ..request("") })
}

fn machine(restore: bool) -> (Machine, Places) {
    let machine = Machine::own();
    let list = serde_json::json!({"user": "msp-agent", "switch": {
        "site_id": "clinic-a", "host_id": "apl-1", "restore_declared": restore,
        "server_public_keys": [keys::public_to_hex(&key(1).verifying_key())],
    }});
    std::fs::write(&machine.around.policy, list.to_string()).unwrap();
    std::fs::create_dir_all(machine.folder.path().join("run/msp-agent-act")).unwrap();
    let places = machine.around.places.clone();
    (machine, places)
}

/// A request that passes: it is recorded and handed on to the bus, which in this test hangs up.
fn passes(machine: &Machine, bytes: &[u8]) {
    let bus = machine.bus.try_clone().unwrap();
    let accepted = std::thread::spawn(move || {
        for _ in 0..100 {
            if bus.accept().is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the bus was not called");
    });
    let reply = machine.ask(bytes);
    accepted.join().unwrap();
    assert!(matches!(reply, Reply::Failed { .. }), "{reply:?}");
}

#[test]
fn an_order_is_recorded_once_and_no_older_one_is_taken_after_it() {
    let (machine, places) = machine(false);
    passes(&machine, &asks(&order(5), &key(1)));
    let [record]: [Record; 1] = record::list(&places).unwrap().try_into().unwrap();
    assert_eq!((&record.to, record.contact, record.state), (&system('a'), true, State::Failed), "{record:?}");
    assert!(record.because().contains("alice: the monthly update"), "{}", record.because());
    for (sequence, id) in [(5, 5), (4, 4), (1, 1)] {
        let refused = machine.refused(&asks(&order(sequence), &key(1)));
        assert!(refused.contains("is old: its sequence is") && refused.contains(&id.to_string()), "{refused}");
    }
    passes(&machine, &asks(&order(6), &key(1)));
    // A sequence that was damaged lets nothing pass.
    std::fs::write(places.state().join("sequence"), "many").unwrap();
    assert!(machine.refused(&asks(&order(7), &key(1))).contains("records of switches"));
}

#[test]
fn what_root_did_not_sign_for_is_refused() {
    let (machine, places) = machine(false);
    let good = order(5);
    let other = |change: fn(&mut Order)| {
        let mut order = order(5);
        change(&mut order);
        asks(&order, &key(1))
    };
    let forged = String::from_utf8(good.sign(&key(1)).unwrap().to_bytes().unwrap()).unwrap();
    let mut changed: serde_json::Value = serde_json::from_str(&forged).unwrap();
    changed["payload"] = serde_json::from_str::<serde_json::Value>(
        std::str::from_utf8(&order(6).sign(&key(2)).unwrap().to_bytes().unwrap()).unwrap(),
    )
    .unwrap()["payload"]
        .clone();
    let cases = [
        (asks(&good, &key(2)), "not signed"),
        (asks_with(&changed.to_string()), "not signed"),
        (asks_with("{}"), "no order"),
        (asks_with("/nix/store/anything"), "no order"),
        (other(|order| order.stamp.site_id = "clinic-b".into()), "is for apl-1 of clinic-b"),
        (other(|order| order.stamp.appliance = "apl-2".into()), "is for apl-2 of clinic-a"),
        (other(|order| order.execute_by = now() - SignedDuration::from_secs(1)), "was to be carried out by"),
        (other(|order| order.stamp.issued = now() + SignedDuration::from_hours(1)), "from the future"),
        (other(|order| order.action = OrderAction::SyncNow {}), "is not one to switch"),
    ];
    for (bytes, said) in cases {
        let reason = machine.refused(&bytes);
        assert!(reason.contains(said), "{said}: {reason}");
    }
    assert!(record::list(&places).unwrap().is_empty());
    assert!(
        machine
            .refused(&line(&Request { operation: Operation::RestoreGeneration { contact: false }, ..request("") }))
            .contains("restore_declared")
    );
    std::fs::write(&machine.around.policy, r#"{"user": "msp-agent"}"#).unwrap();
    assert!(machine.refused(&asks(&good, &key(1))).contains("has no switch"));
}

#[test]
fn one_switch_at_a_time_and_only_one_that_waits_is_confirmed() {
    let (machine, places) = machine(true);
    let confirm =
        |id: &str| line(&Request { operation: Operation::ConfirmSwitch { id: id.to_owned() }, ..request("") });
    let restore = || line(&Request { operation: Operation::RestoreGeneration { contact: false }, ..request("") });
    assert!(machine.refused(&restore()).contains("no generation is declared"));
    let record = Record::new(&places, "by-hand-1", Asked::Person {}, system('a'));
    record::put(&places, &record).unwrap();
    // That is no news of anybody: it is not refused, only not done.
    for bytes in [asks(&order(5), &key(1)), restore()] {
        let Reply::Failed { reason } = machine.ask(&bytes) else { panic!("done") };
        assert!(reason.contains("by-hand-1 goes on"), "{reason}");
    }
    for id in ["by-hand-1", "by-hand-2", "../by-hand-1", ""] {
        assert!(machine.refused(&confirm(id)).contains("waits for a confirmation"), "{id}");
    }
    record::put(&places, &Record { state: State::Awaiting, ..record.clone() }).unwrap();
    assert!(matches!(machine.ask(&confirm("by-hand-1")), Reply::Done { .. }));
    assert!(places.confirmation("by-hand-1").exists());
    // Of an earlier boot: nothing goes on, and nothing is to be confirmed.
    record::put(&places, &Record { state: State::Awaiting, boot_id: "before".into(), ..record }).unwrap();
    assert!(machine.refused(&confirm("by-hand-1")).contains("waits for a confirmation"));
    passes(&machine, &asks(&order(5), &key(1)));
}
