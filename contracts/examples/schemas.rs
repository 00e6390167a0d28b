//! Writes `schemas/` from the types.
#![allow(clippy::expect_used, reason = "a developer's tool: a failure should stop it with the reason")]

fn main() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas");
    for (name, schema) in msp_contracts::schema::all() {
        let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
        std::fs::write(folder.join(name), text + "\n").expect("schemas/ is writable");
    }
}
