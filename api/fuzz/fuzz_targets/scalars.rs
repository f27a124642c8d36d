//! Quantities, times and durations: their canonical texts are stable.
#![no_main]

use api::{Quantity, time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(quantity) = Quantity::parse(text) {
        let canonical = quantity.to_string();
        assert_eq!(Quantity::parse(&canonical).map(|q| q.to_string()), Ok(canonical));
    }
    if let Ok(moment) = time::parse(text) {
        let _ = moment.rfc3339();
    }
    let _ = time::parse_micro(text);
    if let Ok(nanos) = time::parse_duration(text) {
        assert_eq!(time::parse_duration(&time::format_duration(nanos)), Ok(nanos));
    }
});
