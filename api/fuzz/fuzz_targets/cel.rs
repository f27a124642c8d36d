//! Expressions of policies and conditions: whatever is compiled is evaluated within its cost, and nothing panics.
#![no_main]

use api::cel::{Env, Program};
use api::tree;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(program) = Program::compile(text, &["object", "oldObject"]) else { return };
    let object = tree!({"metadata": {"name": "a", "labels": {"x": "1"}}, "spec": {"n": 3, "f": 0.5, "l": [1, "b", true]}});
    let env = Env::new().with("object", &object).with("oldObject", &object).limit(100_000);
    let _ = program.eval(&env);
});
