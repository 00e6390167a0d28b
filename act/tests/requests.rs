//! Every request that must not be carried out, over a real socket, with a bus that would notice.
#![allow(clippy::unwrap_used, clippy::panic)]

mod machine;

use std::path::Path;

use machine::{Machine, line, request};
use msp_agent_act::protocol::{Operation, Reply, Request, boot_time_ms};

#[test]
fn another_user_is_refused_whatever_it_says() {
    let machine = Machine::new(rustix::process::getuid().as_raw() + 1);
    assert!(machine.refused(&line(&request("web.service"))).contains("may not ask"));
    assert!(machine.refused(b"").contains("may not ask"));
}

#[test]
fn what_is_not_on_the_list_is_refused() {
    let machine = Machine::own();
    for unit in ["other.service", "web", "../web.service", "web.service\0"] {
        assert!(machine.refused(&line(&request(unit))).contains("not on the list"), "{unit}");
    }
    let firewall = Request { operation: Operation::RestoreFirewall {}, ..request("") };
    assert!(machine.refused(&line(&firewall)).contains("firewall_unit"));
}

#[test]
fn a_stale_a_future_and_a_foreign_request_are_refused() {
    let machine = Machine::own();
    let fresh = request("web.service");
    for (request, said) in [
        (Request { issued_ms: boot_time_ms().saturating_sub(31_000), ..fresh.clone() }, "older than 30 s"),
        (Request { issued_ms: boot_time_ms() + 60_000, ..fresh.clone() }, "from the future"),
        (Request { boot_id: "0".repeat(36), ..fresh.clone() }, "another boot"),
        (Request { schema: 2, ..fresh.clone() }, "schema 2"),
        (Request { id: "../../../etc/passwd".to_owned(), ..fresh.clone() }, "hexadecimal"),
    ] {
        assert!(machine.refused(&line(&request)).contains(said), "{said}");
    }
}

#[test]
fn a_request_is_good_once_and_only_so_many_within_a_minute() {
    let machine = Machine::own();
    let first = line(&request("web.service"));
    // The bus of this test does not answer: the request was let through to it, and that it failed frees nothing.
    let accepted = std::thread::spawn({
        let bus = machine.bus.try_clone().unwrap();
        move || {
            bus.set_nonblocking(false).unwrap();
            drop(bus.accept().unwrap());
            bus.set_nonblocking(true).unwrap();
        }
    });
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert!(matches!(machine.ask(&first), Reply::Failed { .. }));
    accepted.join().unwrap();
    assert!(machine.refused(&first).contains("made before"));
    let flood: Vec<_> = (0..20).map(|_| machine.refused(&line(&request("none.service")))).collect();
    assert!(flood[0].contains("not on the list") && flood[19].contains("within a minute"), "{flood:?}");
}

#[test]
fn what_is_no_request_is_refused_by_its_length_or_its_form() {
    let machine = Machine::own();
    let good = String::from_utf8(line(&request("web.service"))).unwrap();
    let cases: [(Vec<u8>, &str); 8] = [
        (vec![b' '; 100_000], "longer than 16384"),
        (b"{}\n".to_vec(), "no request"),
        (b"\xff\xfe\n".to_vec(), "no request"),
        (b"".to_vec(), "ended before"),
        (good.trim_end().as_bytes().to_vec(), "ended before"),
        (format!("{good}{good}").into_bytes(), "more than one"),
        (good.replace("restart_unit", "start_transient_unit").into_bytes(), "no request"),
        (good.replace("\"unit\"", "\"command\":\"/bin/sh\",\"unit\"").into_bytes(), "no request"),
    ];
    for (bytes, said) in cases {
        let reason = machine.refused(&bytes);
        assert!(reason.contains(said), "{said}: {reason}");
    }
}

#[test]
fn without_a_list_of_roots_own_nothing_is_allowed() {
    let machine = Machine::own();
    std::fs::write(&machine.around.policy, "{").unwrap();
    assert!(machine.refused(&line(&request("web.service"))).contains("act.json"));
    std::fs::remove_file(Path::new(&machine.around.policy)).unwrap();
    assert!(machine.refused(&line(&request("web.service"))).contains("cannot be read"));
}
