//! The command line: refusals name what is wrong, and nothing is overwritten.

use crate::clinic::{Clinic, SITE};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

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
        (
            "basic.yaml",
            "- {hostname: A, ip_address: 10.0.0.1, transport: http, authentication: basic}\n",
            "show the password",
        ),
        ("pin.yaml", "- {hostname: A, ip_address: 10.0.0.1, certificate_sha256: 12ab}\n", "64 hexadecimal"),
        ("ftp.yaml", "- {hostname: A, ip_address: 10.0.0.1, transport: ftp}\n", "transport: unknown variant `ftp`"),
        ("i.yaml", "- {hostname: FILES, ip_address: 10.0.0.1, port: 99999}\n", "port"),
        ("j.json", "[{\"hostname\": \"FILES\"", "no JSON list"),
        ("k.yaml", "hostname: FILES\n", "no YAML list"),
        ("l.yaml", "- FILES\n", "entry 1"),
        ("empty.yaml", "", "[] to take all servers away"),
        ("blank.json", " \n", "[] to take all servers away"),
        ("comment.yaml", "# - {hostname: DC01, ip_address: 192.168.10.5}\n", "[] to take all servers away"),
        ("start.yaml", "---\n", "[] to take all servers away"),
        ("null.yaml", "~\n", "[] to take all servers away"),
        ("null.json", "null", "[] to take all servers away"),
        ("text.yaml", "''\n", "[] to take all servers away"),
    ] {
        let strings = set(&clinic.file(name, content));
        let said = clinic.refused(1, &strings.each_ref().map(String::as_str));
        assert!(said.contains(expected) && said.contains(name), "{name}: {said}");
    }
    let listed = clinic.ok(&["targets", "list", "--dir", clinic.dir_text(), "--site", SITE, "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let whole = json!([{ "hostname": "DC01", "ip_address": "192.168.10.5", "port": 5986, "transport": "https", "authentication": "ntlm" }]);
    assert_eq!(listed, whole);
    let back = clinic.file("back.json", &listed.to_string());
    let strings = set(&back);
    clinic.ok(&strings.each_ref().map(String::as_str));
}

#[test]
fn how_a_target_is_reached_is_written_listed_and_read_back_with_its_own_default_port() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let pin = ["5E"; 32].join(":");
    let file = clinic.file(
        "targets.yaml",
        &format!(
            "- {{hostname: DC01, ip_address: 192.168.10.5, transport: http}}\n\
             - {{hostname: OLD, ip_address: 192.168.10.6, transport: http, port: 80}}\n\
             - {{hostname: XRAY, ip_address: 192.168.10.7, authentication: basic, certificate_sha256: '{pin}'}}\n"
        ),
    );
    let set = |file: &str| clinic.ok(&["targets", "set", "--dir", clinic.dir_text(), "--site", SITE, file]);
    assert!(set(&file).contains("added    XRAY (192.168.10.7, port 5986, https, basic, pinned)"));
    let list = || clinic.ok(&["targets", "list", "--dir", clinic.dir_text(), "--site", SITE, "--json"]);
    let listed: Value = serde_json::from_str(&list()).unwrap();
    let ports: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["port"].clone()).collect();
    assert_eq!(ports, [json!(5985), json!(80), json!(5986)]);
    assert_eq!(listed[2]["certificate_sha256"], "5e".repeat(32), "in its one spelling");
    assert!(set(&clinic.file("back.json", &listed.to_string())).contains("nothing was added or removed"));
    assert_eq!(serde_json::from_str::<Value>(&list()).unwrap(), listed);
}

#[test]
fn replacing_the_targets_says_what_was_added_and_removed_and_an_explicit_empty_list_removes_all() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let set = |content: &str| {
        let file = clinic.file("targets.yaml", content);
        clinic.ok(&["targets", "set", "--dir", clinic.dir_text(), "--site", SITE, &file])
    };
    let (dc, old, moved) = (
        "- {hostname: DC01, ip_address: 192.168.10.5}\n",
        "- {hostname: FILES, ip_address: 192.168.10.6}\n",
        "- {hostname: FILES, ip_address: 192.168.10.7}\n",
    );
    let said = set(&format!("{dc}{old}"));
    assert!(
        said.contains("added    DC01 (192.168.10.5, port 5986, https, ntlm)") && !said.contains("removed"),
        "{said}"
    );
    let said = set(&format!("{moved}{dc}"));
    assert!(said.contains("added    FILES (192.168.10.7") && said.contains("removed  FILES (192.168.10.6"), "{said}");
    assert!(!said.contains("DC01"), "{said}");
    assert!(set(&format!("{moved}{dc}")).contains("nothing was added or removed"));
    let said = set("[]\n");
    assert!(said.contains("0 Windows servers (before: 2)") && said.contains("removed  DC01"), "{said}");
    assert_eq!(clinic.list("sites")["sites"][0]["windows_targets"], json!(0));
}

#[test]
fn issue_prints_a_configuration_for_the_agent_and_names_a_new_site() {
    let clinic = Clinic::new();
    let issue = |site: &str, appliance: &str| {
        let out = clinic.root().join(format!("{site}-{appliance}"));
        let out = out.to_str().unwrap();
        clinic.ok(&["issue", "--dir", clinic.dir_text(), "--site", site, "--appliance", appliance, "--out", out])
    };
    assert!(issue(SITE, "apl-1").contains("Site clinic-a is new"));
    assert!(!issue(SITE, "apl-2").contains("is new"));
    // A mistyped site shows itself; and an id that YAML would take for a number stays an id.
    let said = issue("Clinic-A", "007");
    assert!(said.contains("Site Clinic-A is new") && said.contains("known before: clinic-a"), "{said}");
    assert!(said.contains("msp-agent keygen --out /etc/msp/signing.pem"), "{said}");
    let begin = said.find("site_id:").unwrap();
    let yaml = said[begin..].split("\n\n").next().unwrap();
    let config: Value = serde_saphyr::from_str(yaml).unwrap();
    assert_eq!((&config["site_id"], &config["host_id"]), (&json!("Clinic-A"), &json!("007")));
    let public = std::fs::read_to_string(clinic.dir().join("signing.pub")).unwrap();
    assert_eq!(config["mcp_public_key"], json!(public.trim()));
    for (key, name) in
        [("client_cert_file", "client.pem"), ("client_key_file", "client-key.pem"), ("ca_cert_file", "ca.pem")]
    {
        let file = std::path::Path::new(config[key].as_str().unwrap()).file_name().unwrap();
        assert_eq!(file, name);
        assert!(clinic.root().join("Clinic-A-007").join(name).exists());
    }
}

#[test]
fn a_reader_that_ends_early_changes_neither_the_work_nor_its_exit_code() {
    let clinic = Clinic::new();
    clinic.issue("apl-1");
    let unread = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_msp-central"))
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (dir, good) = (clinic.dir_text(), clinic.file("good.yaml", "- {hostname: DC01, ip_address: 192.168.10.5}\n"));
    let out = clinic.root().join("apl-2");
    let commands: [&[&str]; 7] = [
        &["--help"],
        &["list", "sites", "--dir", dir],
        &["list", "evidence", "--dir", dir, "--json"],
        &["targets", "set", "--dir", dir, "--site", SITE, &good],
        &["rules", "list", "--dir", dir],
        &["issue", "--dir", dir, "--site", SITE, "--appliance", "apl-2", "--out", out.to_str().unwrap()],
        &["appliance", "forget-key", "--dir", dir, "--site", SITE, "apl-1"],
    ];
    for command in commands {
        assert_eq!(unread(command), (Some(0), String::new()), "{command:?}");
    }
    assert!(out.join("client.pem").exists());
    assert_eq!(clinic.list("sites")["sites"][0]["windows_targets"], json!(1));
    let (code, said) = unread(&["list", "sites", "--dir", dir, "--site", "clinic-b"]);
    assert_eq!(code, Some(1), "a refusal stays one");
    assert!(said.contains("no site"), "{said}");
}

#[tokio::test]
async fn a_server_whose_log_nobody_reads_any_more_goes_on() {
    let clinic = Clinic::new();
    let agent = clinic.issue("apl-1");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let server = clinic.serve_logging_to(writer, &["--log-level", "trace"]);
    agent.check_in(&server).await;
    server.stop().await;
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
    let commands: [&[&str]; 21] = [
        &[],
        &["targets"],
        &["rules"],
        &["site"],
        &["appliance"],
        &["init"],
        &["issue"],
        &["serve"],
        &["targets", "set"],
        &["targets", "list"],
        &["rules", "import"],
        &["rules", "list"],
        &["site", "tier"],
        &["appliance", "forget-key"],
        &["order", "issue"],
        &["order", "list"],
        &["order", "show"],
        &["kill-switch", "engage"],
        &["kill-switch", "release"],
        &["kill-switch", "show"],
        &["list"],
    ];
    for command in commands {
        let help = clinic.ok(&[command, &["--help"]].concat());
        assert!(help.contains("Example"), "{command:?}: {help}");
        assert!(help.contains("msp-central "), "{command:?}: {help}");
        // Commands are broken by hand where they are long, so that they can be copied as they stand.
        let example = help.split_once("Example").unwrap().1;
        for line in example.lines().filter(|line| line.starts_with("  ")) {
            assert!(line.len() <= 80, "{command:?}: {line}");
        }
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
