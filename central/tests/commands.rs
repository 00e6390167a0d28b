//! The command line: refusals name what is wrong, and nothing is overwritten.

use crate::clinic::{Clinic, SITE};
use serde_json::{Value, json};

#[test]
fn targets_without_a_valid_address_or_twice_are_refused_by_name() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let set = |file: &str| ["targets", "set", "--dir", clinic.dir_text(), "--site", SITE, file].map(str::to_owned);
    let good = clinic.file("good.yaml", "- {hostname: DC01, ip_address: 192.168.10.5}\n");
    let strings = set(&good);
    clinic.ok(&strings.each_ref().map(String::as_str));
    for (name, content, expected) in [
        ("a.yaml", "- {hostname: DC01, ip_address: 10.0.0.1}\n- {hostname: FILES}\n", "\"FILES\""),
        ("b.yaml", "- {hostname: FILES, ip_address: files.clinic.local}\n", "\"files.clinic.local\" is no IP address"),
        ("c.yaml", "- {hostname: FILES, ip_address: 192.168.010.5}\n", "192.168.010.5"),
        ("d.yaml", "- {hostname: FILES, ip_address: 0.0.0.0}\n", "0.0.0.0"),
        (
            "e.yaml",
            "- {hostname: A, ip_address: 10.0.0.1}\n- {hostname: a, ip_address: 10.0.0.2}\n",
            "\"a\" stands twice",
        ),
        ("f.yaml", "- {hostname: A, ip_address: '::1'}\n- {hostname: B, ip_address: '0:0::1'}\n", "::1 stands twice"),
        ("g.yaml", "- {hostname: FILES, ip_adress: 10.0.0.1}\n", "\"ip_adress\" is no field"),
        ("h.yaml", "- {hostname: FILES, ip_address: 10.0.0.1, port: 0}\n", "port 0"),
        ("i.yaml", "- {hostname: FILES, ip_address: 10.0.0.1, port: 99999}\n", "port"),
        ("j.json", "[{\"hostname\": \"FILES\"", "no JSON list"),
        ("k.yaml", "hostname: FILES\n", "no YAML list"),
        ("l.yaml", "- FILES\n", "entry 1"),
    ] {
        let strings = set(&clinic.file(name, content));
        let said = clinic.refused(1, &strings.each_ref().map(String::as_str));
        assert!(said.contains(expected) && said.contains(name), "{name}: {said}");
    }
    let listed = clinic.ok(&["targets", "list", "--dir", clinic.dir_text(), "--site", SITE, "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed, json!([{ "hostname": "DC01", "ip_address": "192.168.10.5", "port": 5986 }]));
    let back = clinic.file("back.json", &listed.to_string());
    let strings = set(&back);
    clinic.ok(&strings.each_ref().map(String::as_str));
}

#[test]
fn init_and_issue_never_overwrite() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let ca = std::fs::read(clinic.dir().join("ca.pem")).unwrap();
    let said = clinic.refused(2, &["init", "--dir", clinic.dir_text(), "--name", "localhost"]);
    assert!(said.contains("ca.pem exists already"), "{said}");
    assert_eq!(std::fs::read(clinic.dir().join("ca.pem")).unwrap(), ca);
    let out = clinic.root().join("clinic-a-apl-1");
    let key = std::fs::read(out.join("client-key.pem")).unwrap();
    let issue =
        ["issue", "--dir", clinic.dir_text(), "--site", SITE, "--appliance", "apl-2", "--out", out.to_str().unwrap()];
    assert!(clinic.refused(2, &issue).contains("client.pem exists already"));
    assert_eq!(std::fs::read(out.join("client-key.pem")).unwrap(), key);
    assert_eq!(clinic.list("sites")["appliances"].as_array().unwrap().len(), 1);
}

#[test]
fn a_name_that_cannot_stand_in_a_certificate_leaves_nothing_behind() {
    let clinic = Clinic::new();
    let dir = clinic.root().join("other");
    let said = clinic.refused(1, &["init", "--dir", dir.to_str().unwrap(), "--name", "localhost", "--name", "a b"]);
    assert!(said.contains("\"a b\""), "{said}");
    assert!(!dir.exists());
}

#[test]
fn a_directory_that_init_did_not_make_is_named_with_the_cure() {
    let clinic = Clinic::new();
    let empty = clinic.root().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let dir = empty.to_str().unwrap();
    let commands: [&[&str]; 3] = [
        &["serve", "--dir", dir],
        &["list", "sites", "--dir", dir],
        &["issue", "--dir", dir, "--site", SITE, "--appliance", "apl-1", "--out", dir],
    ];
    for command in commands {
        let said = clinic.refused(2, command);
        assert!(said.contains(dir) && said.contains("msp-central init"), "{said}");
    }
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0);
}

#[test]
fn every_help_teaches_with_an_example() {
    let clinic = Clinic::new();
    let commands: [&[&str]; 11] = [
        &[],
        &["init"],
        &["issue"],
        &["serve"],
        &["targets", "set"],
        &["targets", "list"],
        &["rules", "import"],
        &["rules", "list"],
        &["site", "tier"],
        &["appliance", "forget-key"],
        &["list"],
    ];
    for command in commands {
        let help = clinic.ok(&[command, &["--help"]].concat());
        assert!(help.contains("Example"), "{command:?}: {help}");
        assert!(help.contains("msp-central "), "{command:?}: {help}");
    }
    clinic.refused(2, &["serve"]);
    clinic.refused(2, &["surve"]);
}

#[test]
fn the_server_runs_without_the_authoritys_key_which_only_issue_needs() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    std::fs::rename(clinic.dir().join("ca-key.pem"), clinic.root().join("vault.pem")).unwrap();
    let _server = clinic.serve();
    let out = clinic.root().join("out");
    let (dir, out) = (clinic.dir_text(), out.to_str().unwrap());
    let said = clinic.refused(2, &["issue", "--dir", dir, "--site", SITE, "--appliance", "apl-2", "--out", out]);
    assert!(said.contains("ca-key.pem"), "{said}");
}
