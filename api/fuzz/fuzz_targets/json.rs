//! JSON: what is read is written back the same, with and without the schema of a Pod.
#![no_main]

use api::{json, schema};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    if let Ok(tree) = json::parse(text) {
        // Whole numbers lose their exponents, then their sign when they are zero.
        let once = again(&json::to_vec(&tree));
        assert_eq!(again(&once), once);
    }
    let _ = json::parse_tracking_duplicates(text);
    let _ = json::set_resource_version(text, "1", true);
    let pod = schema::builtin_type("", "v1", "Pod").expect("a built-in kind");
    if let Ok(decoded) = schema::decode_json(schema::builtin(), pod, text, true) {
        let once = json::to_vec(&decoded.value);
        let again =
            schema::decode_json(schema::builtin(), pod, &once, true).expect("the normal form is valid");
        let twice = json::to_vec(&again.value);
        let again = schema::decode_json(schema::builtin(), pod, &twice, true).expect("it stays so");
        assert_eq!(json::to_vec(&again.value), twice);
    }
});

fn again(text: &[u8]) -> Vec<u8> {
    json::to_vec(&json::parse(text).expect("what was written"))
}
