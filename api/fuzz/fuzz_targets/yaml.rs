//! YAML: what is read is written back the same.
#![no_main]

use api::yaml;
use libfuzzer_sys::fuzz_target;

// Panics of the tokeniser are caught; any other still ends the run.
fuzz_target!(init: { std::panic::set_hook(Box::new(|_| ())) }, |text: &[u8]| {
    if let Ok(tree) = yaml::parse(text) {
        assert_eq!(yaml::parse(yaml::to_string(&tree).as_bytes()).as_ref(), Ok(&tree));
    }
});
