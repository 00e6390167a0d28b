//! `msp-agent check` through its command line, on machines that are directory trees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Longer than any of these runs may take, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Machine(tempfile::TempDir);

impl Machine {
    /// A machine with a disk in the clear, a firewall and nothing else.
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.file("proc/self/mountinfo", "27 1 254:0 / / rw - ext4 /dev/vda rw\n");
        machine.file("etc/hostname", "clinic\n");
        machine.file("sys/devices/vda/dev", "254:0\n");
        machine.link("sys/dev/block/254:0", "../../devices/vda");
        machine.link("sys/class/block/vda", "../../devices/vda");
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/host/nixos-nftables.json");
        machine.tool("nft", &format!("exec cat {}", rules.display()));
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn file(&self, path: &str, content: &str) -> PathBuf {
        let path = self.path(path);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn link(&self, path: &str, target: &str) {
        std::os::unix::fs::symlink(target, self.path(path)).unwrap();
    }

    fn tool(&self, name: &str, script: &str) {
        // Another process writes it: a child that another test starts meanwhile would inherit the open file, and
        // running it would fail with "text file busy".
        let mut writer = Command::new("/bin/sh")
            .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
            .arg(self.path(&format!("usr/bin/{name}")))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        writer.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
        assert!(writer.wait().unwrap().success());
    }

    fn check(&self, args: &[&str]) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_msp-agent"))
            .arg("check")
            .args(args)
            .env("MSP_TEST_ROOT", self.0.path())
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pause = Duration::from_millis(20);
        for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
            if child.try_wait().unwrap().is_some() {
                return Ran(child.wait_with_output().unwrap());
            }
            std::thread::sleep(pause);
        }
        child.kill().unwrap();
        panic!("msp-agent check {args:?} did not end");
    }
}

struct Ran(Output);

impl Ran {
    fn code(&self) -> i32 {
        self.0.status.code().unwrap()
    }

    fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.0.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.out(), self.err()))
    }

    /// The check of this name in the document.
    fn seen(&self, check: &str) -> Value {
        let document = self.json();
        document["checks"].as_array().unwrap().iter().find(|seen| seen["check"] == check).unwrap().clone()
    }
}

#[test]
fn all_compliant_or_unsupported_is_exit_code_0() {
    let machine = Machine::new();
    let baseline = machine.file("b.yaml", "appliance: {disk: {max_used_percent: 100, max_inodes_used_percent: 100}}\n");
    let only = ["--only", "firewall", "--only", "disk", "--only", "generation"];
    let ran = machine.check(&[&only[..], &["--baseline", baseline.to_str().unwrap()]].concat());
    assert_eq!(ran.code(), 0, "{}{}", ran.out(), ran.err());
    assert!(ran.out().contains("2 compliant, 1 unsupported"), "{}", ran.out());
}

#[test]
fn a_drift_is_exit_code_1_with_the_paragraph_and_what_to_do() {
    let ran = Machine::new().check(&["--only", "encryption", "--only", "generation"]);
    assert_eq!(ran.code(), 1);
    let table = ran.out();
    assert!(table.contains("164.312(a)(2)(iv)"), "{table}");
    assert!(table.contains("  - / is not encrypted: it lies on vda\n  - /var/lib/msp"), "{table}");
    assert!(table.contains("what to do: "), "{table}");
    assert!(!table.contains('\u{1b}'), "no colour where there is no terminal");
    assert!(table.contains("clinic (linux), baseline: built in; 1 drift, 1 unsupported"), "{table}");
}

#[test]
fn the_document_for_scripts_has_all_ten_checks_with_all_fields() {
    let ran = Machine::new().check(&["--json"]);
    let document = ran.json();
    assert_eq!(document["schema_version"], 1);
    assert_eq!((&document["host"], &document["platform"]), (&"clinic".into(), &"linux".into()));
    assert_eq!(document["baseline"], "built in");
    let names: Vec<&str> =
        document["checks"].as_array().unwrap().iter().map(|check| check["check"].as_str().unwrap()).collect();
    let order = ["patching", "antivirus", "backup", "logging", "firewall", "encryption", "generation", "services"];
    assert_eq!(names[..8], order);
    assert_eq!(names[8..], ["time_sync", "disk"]);
    for check in document["checks"].as_array().unwrap() {
        for field in [
            "status",
            "severity",
            "actual",
            "desired",
            "diff",
            "reason",
            "recommended_action",
            "hipaa_controls",
            "details",
        ] {
            assert!(check.get(field).is_some(), "{field} is missing in {check}");
        }
    }
    assert_eq!(ran.seen("firewall")["hipaa_controls"], serde_json::json!(["164.312(e)(1)", "164.312(a)(1)"]));
    assert_eq!(ran.seen("firewall")["details"]["firewall_enabled"], true);
}

#[test]
fn a_machine_without_a_bus_is_unknown_with_the_reason_and_never_compliant() {
    let ran = Machine::new().check(&["--json"]);
    assert_eq!(ran.code(), 1);
    for check in ["antivirus", "services", "time_sync"] {
        let seen = ran.seen(check);
        assert_eq!(seen["status"], "unknown", "{seen}");
        assert!(seen["reason"].as_str().unwrap().contains("no system bus"), "{seen}");
    }
}

#[test]
fn a_tool_that_hangs_makes_its_check_unknown_and_delays_no_other() {
    let machine = Machine::new();
    machine.tool("nft", "sleep 600");
    let ran = machine.check(&["--json", "--timeout", "1"]);
    let firewall = ran.seen("firewall");
    assert_eq!(firewall["status"], "unknown");
    assert!(firewall["reason"].as_str().unwrap().contains("did not finish within 1 s"), "{firewall}");
    assert_eq!(ran.seen("encryption")["status"], "drift");
}

#[test]
fn a_file_system_that_does_not_answer_makes_its_checks_unknown_and_the_program_still_ends() {
    let machine = Machine::new();
    let table = machine.path("proc/self/mountinfo");
    std::fs::remove_file(&table).unwrap();
    // Opening a pipe that nobody writes to blocks in the kernel, as a dead network mount does.
    assert!(Command::new("mkfifo").arg(&table).status().unwrap().success());
    let ran = machine.check(&["--json", "--timeout", "1"]);
    for check in ["disk", "encryption"] {
        let seen = ran.seen(check);
        assert_eq!(seen["status"], "unknown");
        assert!(seen["reason"].as_str().unwrap().contains("did not finish within 1 s"), "{seen}");
    }
    assert_eq!(ran.seen("firewall")["status"], "compliant");
}

#[test]
fn a_slip_in_the_baseline_is_exit_code_2_with_its_place_and_the_cure() {
    let machine = Machine::new();
    machine.file("etc/msp/baseline.yaml", "appliance:\n  firewal: {enabled: true}\n");
    let ran = machine.check(&[]);
    assert_eq!((ran.code(), ran.out().as_str()), (2, ""));
    let error = ran.err();
    assert!(error.contains("etc/msp/baseline.yaml:2:3: unknown field \"firewal\""), "{error}");
    assert!(error.contains("did you mean \"firewall\"?"), "{error}");
    let missing = machine.check(&["--baseline", "/nowhere.yaml"]);
    assert_eq!(missing.code(), 2);
    assert!(missing.err().contains("/nowhere.yaml"), "{}", missing.err());
}

#[test]
fn the_machines_own_baseline_is_used_where_none_is_named() {
    let machine = Machine::new();
    machine.file("etc/msp/baseline.yaml", "appliance: {disk: {max_used_percent: 0}}\n");
    let ran = machine.check(&["--json", "--only", "disk"]);
    assert_eq!(ran.seen("disk")["status"], "drift");
    assert!(ran.json()["baseline"].as_str().unwrap().ends_with("etc/msp/baseline.yaml"));
}

#[test]
fn a_check_that_does_not_exist_is_exit_code_2_with_the_one_that_was_meant() {
    let ran = Machine::new().check(&["--only", "firewal"]);
    assert_eq!(ran.code(), 2);
    assert!(ran.err().contains("'firewall'"), "{}", ran.err());
}
