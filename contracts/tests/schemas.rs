//! `schemas/` says what the types say.

#[test]
fn the_committed_schemas_are_those_of_the_types_and_no_others() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas");
    let mut expected = Vec::new();
    for (name, schema) in msp_contracts::schema::all() {
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let found = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert_eq!(
            found, text,
            "schemas/{name} is stale: run `cargo run --ignore-rust-version -p msp-contracts --example schemas`"
        );
        expected.push(name.to_owned());
    }
    let mut found: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "schemas/ holds a file that no type makes");
}
