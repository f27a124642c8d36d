//! Answers of webhooks: whatever a server elsewhere says is a verdict or an error, and nobody is recognized or allowed
//! by an answer that does not say so.
#![no_main]

use api::{Later, Network, Question, Remote, RemoteError, Reply};
use authn::{Authenticator, Peer, Settings, TokenWebhook};
use authn_fuzz::{Lines, run};
use authz::{Attributes, Authorizer, Configuration, Mode, WebhookMode};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use std::time::Duration;
use stdx::Clock;

/// A server that gives one answer.
struct Says(u16, Vec<u8>);

impl Network for Says {
    fn ask<'a>(&'a self, _: &'a Remote, _: Question, _: Duration) -> Later<'a, Result<Reply, RemoteError>> {
        let json = ("content-type".to_owned(), "application/json".to_owned());
        let reply = Reply { status: self.0, body: self.1.clone(), headers: vec![json] };
        Box::pin(std::future::ready(Ok(reply)))
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (status, body) = match bytes {
        [0, rest @ ..] => (500, rest),
        [1, rest @ ..] => (403, rest),
        [_, rest @ ..] => (200, rest),
        [] => return,
    };
    let network = Arc::new(Says(status, body.to_vec()));
    let remote = Remote { url: "https://elsewhere/check".to_owned(), ..Remote::default() };
    for version in ["v1", "v1beta1"] {
        let mut settings = Settings::new(Clock::system());
        (settings.anonymous, settings.network) = (false, network.clone());
        let (version, cache_ttl) = (version.to_owned(), Duration::ZERO);
        settings.token_webhook = Some(TokenWebhook { remote: remote.clone(), version, cache_ttl });
        let authenticator = Authenticator::new(&settings).expect("good settings");
        let found = run(authenticator.authenticate(&Peer::default(), &Lines::bearer(b"x"), "/api"));
        let says = body.windows(4).any(|word| word == b"true");
        assert!(found.is_err() || (status == 200 && says), "{found:?}");
    }
    let mut settings = authz::Settings::new(Clock::system());
    settings.network = network;
    let webhook = WebhookMode {
        name: "elsewhere".to_owned(),
        remote,
        timeout: Duration::from_secs(1),
        version: "v1".to_owned(),
        authorized_ttl: Duration::ZERO,
        unauthorized_ttl: Duration::ZERO,
        deny_on_error: false,
        match_conditions: Vec::new(),
    };
    settings.configuration = Configuration { authorizers: vec![Mode::Webhook(Box::new(webhook))] };
    let authorizer = Authorizer::new(&settings).expect("good settings");
    let jane = authn::in_process("jane", &[]);
    let asked = Attributes::resource("get", "", "v1", "pods");
    let says = body.windows(4).any(|word| word == b"true");
    assert!(run(authorizer.authorize(jane, asked)).is_err() || says && (200..300).contains(&status));
});
