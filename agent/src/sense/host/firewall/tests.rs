use super::super::fixture::{Fixture, observe, recorded};
use super::*;
use msp_contracts::finding::CheckStatus;

async fn look(fixture: &Fixture) -> Observation {
    observe(&Firewall { machine: fixture.machine(), desired: baseline::Firewall { enabled: true } }).await
}

/// A ruleset with one input chain, made of these rules' expressions.
fn input(policy: &str, rules: &[&str]) -> String {
    let rules: String = rules
        .iter()
        .map(|expr| format!(r#",{{"rule":{{"family":"inet","table":"t","chain":"in","handle":9,"expr":[{expr}]}}}}"#))
        .collect();
    format!(
        r#"{{"nftables":[{{"metainfo":{{"version":"1.0.6","json_schema_version":1}}}},
        {{"table":{{"family":"inet","name":"t","handle":1}}}},
        {{"chain":{{"family":"inet","table":"t","name":"in","handle":1,"type":"filter","hook":"input","prio":0,"policy":"{policy}"}}}}{rules}]}}"#
    )
}

#[tokio::test]
async fn nixos_denies_with_either_back_end() {
    for (name, chain) in
        [("nixos-nftables.json", "inet nixos-fw input"), ("nixos-iptables.json", "ip filter nixos-fw-refuse")]
    {
        let seen = look(&Fixture::new().prints("nft", recorded(name))).await;
        assert_eq!(seen.status, CheckStatus::Compliant, "{name}: {seen:?}");
        assert_eq!(seen.details["firewall_enabled"], true);
        assert_eq!(seen.actual["unsolicited"]["IPv4"], format!("denied by {chain}"));
    }
}

#[tokio::test]
async fn nixos_without_nft_is_read_through_iptables() {
    let fixture = Fixture::new()
        .prints("iptables-save", recorded("nixos-iptables.save"))
        .prints("ip6tables-save", recorded("nixos-ip6tables.save"));
    let seen = look(&fixture).await;
    assert_eq!(seen.status, CheckStatus::Compliant, "{seen:?}");
    // `systemctl stop firewall` leaves the chains and takes the jump away.
    let stopped = recorded("nixos-iptables.save").replace("-A INPUT -j nixos-fw\n", "");
    let seen = look(&fixture.prints("iptables-save", stopped)).await;
    assert_eq!(seen.diff, ["unsolicited IPv4 packets are accepted: no input chain denies them"]);
}

#[tokio::test]
async fn an_open_input_chain_and_no_ruleset_are_drift() {
    for name in ["debian-open.json", "nft-empty.json"] {
        let seen = look(&Fixture::new().prints("nft", recorded(name))).await;
        assert_eq!(
            (seen.status, &seen.details["firewall_enabled"]),
            (CheckStatus::Drift, &Value::from(false)),
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_decides_is_the_fate_of_a_packet_and_not_the_policy_alone() {
    let counted = r#"{"counter":{"packets":7,"bytes":9}}"#;
    let ssh =
        r#"{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":22}},{"accept":null}"#;
    let accept_all = format!(r#"{counted},{{"accept":null}}"#);
    let drop_all = format!(r#"{counted},{{"drop":null}}"#);
    let queue = r#"{"queue":{"num":0}}"#;
    let unnamed = r#"{"counter":{"packets":0,"bytes":0}},{"xt":null}"#;
    for (policy, rules, status) in [
        ("drop", vec![ssh], CheckStatus::Compliant),
        ("drop", vec![ssh, accept_all.as_str()], CheckStatus::Drift),
        ("accept", vec![ssh, drop_all.as_str()], CheckStatus::Compliant),
        ("accept", vec![ssh, r#"{"reject":{"type":"icmpx","expr":"port-unreachable"}}"#], CheckStatus::Compliant),
        ("accept", vec![ssh], CheckStatus::Drift),
        ("drop", vec![queue], CheckStatus::Unknown),
        ("accept", vec![unnamed], CheckStatus::Unknown),
        ("drop", vec![r#"{"jump":{"target":"nowhere"}}"#], CheckStatus::Unknown),
        ("drop", vec![r#"{"jump":{"target":"in"}}"#], CheckStatus::Unknown),
    ] {
        let seen = look(&Fixture::new().prints("nft", input(policy, &rules))).await;
        assert_eq!(seen.status, status, "{policy} {rules:?}: {seen:?}");
    }
}

#[tokio::test]
async fn a_dormant_table_protects_nobody() {
    let asleep = input("drop", &[]).replace(r#""name":"t""#, r#""name":"t","flags":["dormant"]"#);
    let seen = look(&Fixture::new().prints("nft", asleep)).await;
    assert_eq!(seen.status, CheckStatus::Drift, "{seen:?}");
}

#[tokio::test]
async fn ipv6_counts_unless_the_machine_has_none() {
    let only_ipv4 = input("drop", &[]).replace("inet", "ip");
    let fixture = Fixture::new().prints("nft", only_ipv4);
    assert_eq!(look(&fixture).await.status, CheckStatus::Compliant, "there is no /proc/net/if_inet6");
    let addresses = "00000000000000000000000000000001 01 80 10 80       lo\n";
    let seen = look(&fixture.file("/proc/net/if_inet6", addresses)).await;
    assert_eq!(seen.diff, ["unsolicited IPv6 packets are accepted: no input chain denies them"]);
}

#[tokio::test]
async fn the_hash_changes_with_the_rules_and_not_with_the_counters() {
    let hash = async |text: String| look(&Fixture::new().prints("nft", text)).await.details["rules_sha256"].clone();
    let rule = r#"{"counter":{"packets":7,"bytes":9}},{"drop":null}"#;
    let before = hash(input("drop", &[rule])).await;
    assert_eq!(
        before,
        hash(input("drop", &[&rule.replace("7", "8000")]).replace(r#""handle":9"#, r#""handle":12"#)).await
    );
    assert_ne!(before, hash(input("drop", &[&rule.replace("drop", "accept")])).await);
}

#[tokio::test]
async fn garbage_refusal_and_absence_are_unknown_with_the_reason() {
    for garbage in
        ["", "table inet filter {", "[]", "{\"nftables\": []}", "{\"nftables\": [{\"metainfo\": {}}, {\"chain\": {}}]}"]
    {
        let seen = look(&Fixture::new().prints("nft", garbage)).await;
        assert_eq!(seen.status, CheckStatus::Unknown, "{garbage:?}");
        assert!(!seen.details.contains_key("firewall_enabled"));
    }
    let refused =
        look(&Fixture::new().tool("nft", "echo 'Operation not permitted (you must be root)' >&2; exit 1")).await;
    assert!(refused.reason.unwrap().contains("you must be root"));
    let flood = look(&Fixture::new().tool("nft", "exec head -c 100000000 /dev/zero")).await;
    assert!(flood.reason.unwrap().contains("printed more than"));
    assert!(look(&Fixture::new()).await.reason.unwrap().contains("neither `nft` nor `iptables-save` is installed"));
    let cut = Fixture::new().prints("iptables-save", "*filter\n:INPUT DROP [0:0]\n").prints("ip6tables-save", "");
    assert!(look(&cut).await.reason.unwrap().contains("has no end"));
}

#[tokio::test]
async fn older_iptables_in_the_kernel_is_asked_too() {
    let drop_all =
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -m comment --comment \"a \\\" b -j ACCEPT\" -j ACCEPT\nCOMMIT\n";
    let fixture = Fixture::new()
        .prints("nft", recorded("nft-empty.json"))
        .file("/proc/net/ip_tables_names", "nat\nfilter\n")
        .prints("iptables-legacy-save", drop_all)
        .prints("ip6tables-legacy-save", drop_all);
    let seen = look(&fixture).await;
    assert_eq!((seen.status, &seen.details["source"]), (CheckStatus::Compliant, &Value::from("iptables-legacy")));
}
