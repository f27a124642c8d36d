//! Whatever comes in, nothing panics, and what is written comes back.

use crate::impersonate::service_account;
use crate::jwt::{BASE64, Jwt};
use crate::{
    AUTHENTICATED, Asked, Caller, Headers, Impersonation, Judge, PublicKey, StaticTokens, UNAUTHENTICATED,
};
use api::{Later, Status};
use base64::Engine;
use proptest::prelude::*;

/// Headers of any bytes under the names of impersonation.
#[derive(Debug)]
struct Sent(Vec<(String, Vec<u8>)>);

impl Headers for Sent {
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).first().copied()
    }

    fn all(&self, name: &str) -> Vec<&[u8]> {
        self.0.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_slice()).collect()
    }

    fn starting_with<'a>(&'a self, prefix: &str) -> Vec<(&'a str, &'a [u8])> {
        let found = self.0.iter().filter(|(name, _)| name.starts_with(prefix));
        found.map(|(name, value)| (name.as_str(), value.as_slice())).collect()
    }
}

/// To what no is said; all else is allowed.
#[derive(Clone, Copy)]
enum Not {
    Anything,
    Nothing,
    Resource(&'static str),
}

impl Judge for Not {
    fn may<'a>(&'a self, caller: &'a Caller, asked: Asked<'a>) -> Later<'a, Result<(), Status>> {
        let no = match (self, asked) {
            (Not::Anything, _) => true,
            (Not::Resource(not), Asked::Part { resource, .. }) => *not == resource,
            (Not::Nothing | Not::Resource(_), _) => false,
        };
        let answer = if no { Err(self.refusal(caller, asked, "")) } else { Ok(()) };
        Box::pin(std::future::ready(answer))
    }

    fn refusal(&self, _: &Caller, _: Asked<'_>, why: &str) -> Status {
        Status::forbidden("", "users", "", why)
    }
}

fn headers() -> impl Strategy<Value = Sent> {
    let name = prop_oneof![
        Just("impersonate-user".to_owned()),
        Just("impersonate-group".to_owned()),
        Just("impersonate-uid".to_owned()),
        "impersonate-extra-[!-~]{0,12}",
    ];
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..24),
        "system:(node|serviceaccount):[a-z:.]{0,12}".prop_map(String::into_bytes),
    ];
    prop::collection::vec((name, value), 0..8).prop_map(Sent)
}

fn act(sent: &Sent, judge: Not) -> Result<Option<crate::Impersonated>, Status> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let caller = Caller::new("jane", Vec::new()).authenticated();
    runtime.block_on(async { Impersonation::default().act(&caller, sent, &judge).await })
}

/// The groups that a caller of this name is in without being asked for.
fn fixed_groups(name: &str) -> Vec<String> {
    let mut groups = vec![AUTHENTICATED.to_owned(), UNAUTHENTICATED.to_owned()];
    if let Some((namespace, _)) = service_account(name) {
        groups.push("system:serviceaccounts".to_owned());
        groups.push(format!("system:serviceaccounts:{namespace}"));
    }
    if name.starts_with("system:node:") {
        groups.push("system:nodes".to_owned());
    }
    groups
}

proptest! {
    #[test]
    fn nobody_gets_a_part_of_another_that_is_not_allowed(
        sent in headers(),
        name in prop_oneof!["[a-z]{1,5}", "system:node:n", "system:serviceaccount:n:s"],
        part in prop::sample::select(vec!["groups", "uids", "userextras"]),
    ) {
        let mut sent = sent;
        sent.0.insert(0, ("impersonate-user".to_owned(), name.into_bytes()));
        if let Ok(Some(other)) = act(&sent, Not::Resource(part)) {
            let other = other.caller;
            let fixed = fixed_groups(other.name());
            match part {
                "groups" => prop_assert!(other.groups().iter().all(|g| fixed.contains(g)), "{other:?}"),
                "uids" => prop_assert_eq!(other.uid(), ""),
                _ => prop_assert!(other.extra().is_empty(), "{other:?}"),
            }
        }
    }

    #[test]
    fn nobody_becomes_another_when_nothing_is_allowed(sent in headers()) {
        match act(&sent, Not::Anything) {
            Ok(None) => {
                // Of a header that names one thing, the first counts.
                let said = |name| sent.first(name).is_some_and(|value| !value.is_empty());
                prop_assert!(!said("impersonate-user") && !said("impersonate-uid"), "{sent:?}");
                let listed = |name: &str| name == "impersonate-group" || name.starts_with("impersonate-extra-");
                prop_assert!(!sent.0.iter().any(|(name, _)| listed(name)), "{sent:?}");
            }
            Ok(Some(other)) => prop_assert!(false, "{other:?}"),
            Err(status) => prop_assert!([400, 403].contains(&status.code), "{status:?}"),
        }
    }

    #[test]
    fn who_may_do_all_becomes_the_user_that_is_named(sent in headers()) {
        if let Ok(Some(other)) = act(&sent, Not::Nothing) {
            let named = String::from_utf8_lossy(sent.first("impersonate-user").unwrap_or_default());
            prop_assert_eq!(other.caller.name(), &*named);
        }
    }

    #[test]
    fn tokens_of_any_text_are_read_without_a_panic(token in "[A-Za-z0-9_.-]{0,80}|.{0,40}") {
        let _ = Jwt::parse(&token);
    }

    #[test]
    fn tokens_of_any_claims_are_read_without_a_panic(
        header in r#"\{"alg":"[A-Z0-9]{0,5}"(,"kid":"[a-z]{0,3}")?\}"#,
        claims in r#"\{("(exp|nbf|iat|aud)":(-?[0-9]{1,19}(e[0-9]{1,3})?|"x"|null|\["a",1\]))?\}"#,
        secs in any::<i64>(),
    ) {
        let token = format!("{}.{}.AAAA", BASE64.encode(header), BASE64.encode(claims));
        if let Some(jwt) = Jwt::parse(&token) {
            let _ = (jwt.audiences(), jwt.check_times(stdx::Time::from_secs(secs)));
        }
    }

    #[test]
    fn keys_of_any_bytes_are_read_without_a_panic(der in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = PublicKey::from_der(&der);
    }

    #[test]
    fn files_of_tokens_of_any_text_are_read_without_a_panic(text in "[a-c,\"\r\n]{0,40}|.{0,40}") {
        let _ = StaticTokens::parse(&text, "f");
    }
}
