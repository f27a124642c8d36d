//! Selectors: what is read is printed so that it is read again as the same.
#![no_main]

use api::selector::{FieldSelector, LabelSelector};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(selector) = LabelSelector::parse(text) {
        let printed = selector.to_string();
        let again = LabelSelector::parse(&printed).expect("what was printed");
        assert_eq!(again.to_string(), printed);
        for value in [None, Some(""), Some("a"), Some("1")] {
            assert_eq!(again.matches_with(|_| value), selector.matches_with(|_| value));
        }
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        // Terms are put in order as they are written, with `==` or `=`: the first print may come in another one.
        let printed = FieldSelector::parse(&selector.to_string()).expect("what was printed").to_string();
        assert_eq!(FieldSelector::parse(&printed).map(|again| again.to_string()), Ok(printed));
    }
});
