//! Protobuf: what is read of any kind is written back the same.
#![no_main]

use api::{proto, schema};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = proto::unwrap(bytes);
    let _ = proto::set_resource_version(bytes, "1");
    for kind in ["Pod", "Service", "Status", "APIResourceList"] {
        let ty = schema::builtin_type("", "v1", kind).expect("a built-in kind");
        if let Ok(tree) = proto::decode(schema::builtin(), ty, bytes) {
            let once = proto::encode(schema::builtin(), ty, &tree);
            let again = proto::decode(schema::builtin(), ty, &once).expect("what was encoded");
            assert_eq!(proto::encode(schema::builtin(), ty, &again), once);
        }
    }
});
