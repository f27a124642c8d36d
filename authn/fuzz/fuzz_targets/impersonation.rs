//! Impersonation: headers of any sort become a caller only after every part of it was asked for, in the legacy mode
//! at the least its name; who may do nothing acts as nobody, and a part that is not allowed is in nobody.
#![no_main]

use api::{Later, Status};
use authn::{Asked, Caller, Impersonation, Judge};
use authn_fuzz::{Lines, run};
use libfuzzer_sys::fuzz_target;
use std::sync::Mutex;

/// Says the same to all but one resource, to which it says no, and remembers what was asked.
struct One {
    allows: bool,
    never: &'static str,
    names: Mutex<Vec<(String, String)>>,
}

impl Judge for One {
    fn may<'a>(&'a self, caller: &'a Caller, asked: Asked<'a>) -> Later<'a, Result<(), Status>> {
        let mut allows = self.allows;
        if let Asked::Part { resource, name, .. } = asked {
            allows &= resource != self.never;
            self.names.lock().expect("no panic").push((resource.to_owned(), name.to_owned()));
        }
        let answer = if allows { Ok(()) } else { Err(self.refusal(caller, asked, "no")) };
        Box::pin(std::future::ready(answer))
    }

    fn refusal(&self, _: &Caller, _: Asked<'_>, why: &str) -> Status {
        Status::forbidden("", "users", "", why)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let headers = Lines::read(bytes);
    let jane = authn::in_process("jane", &[]);
    let act = |judge: &One| run(Impersonation::default().act(&jane, &headers, judge));
    let strict = One { allows: false, never: "", names: Mutex::default() };
    assert!(!matches!(act(&strict), Ok(Some(_))), "nothing was allowed");
    let lax = One { allows: true, never: "", names: Mutex::default() };
    if let Ok(Some(other)) = act(&lax) {
        let asked = lax.names.lock().expect("no panic");
        let name = other.caller.name();
        let last = name.rsplit(':').next().unwrap_or_default();
        assert!(
            asked.iter().any(|(_, found)| found == name || found == last || found == "*"),
            "{name}: {asked:?}"
        );
    }
    for never in ["groups", "uids", "userextras"] {
        let judge = One { allows: true, never, names: Mutex::default() };
        if let Ok(Some(other)) = act(&judge) {
            assert!(!has(&other.caller, never), "{never}: {other:?}");
        }
    }
});

/// Whether a caller has a part of this sort, other than the groups that go with its name.
fn has(caller: &Caller, part: &str) -> bool {
    let goes_with = |group: &String| match group.as_str() {
        "system:authenticated" | "system:unauthenticated" => true,
        "system:nodes" => caller.name().starts_with("system:node:"),
        group => {
            group.starts_with("system:serviceaccounts") && caller.name().starts_with("system:serviceaccount:")
        }
    };
    match part {
        "groups" => !caller.groups().iter().all(goes_with),
        "uids" => !caller.uid().is_empty(),
        _ => !caller.extra().is_empty(),
    }
}
