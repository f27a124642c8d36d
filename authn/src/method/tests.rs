//! The methods together, over real certificates.

use super::*;
use crate::{ANONYMOUS, AUTHENTICATED, Headers, Peer, UNAUTHENTICATED, in_process};
use certs::Authority;
use std::time::Duration;
use stdx::Time;
use x509_parser::prelude::{FromDer, X509Certificate};

const NOW: Time = Time::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);

struct Authorization(&'static str);

impl Headers for Authorization {
    fn first(&self, name: &str) -> Option<&[u8]> {
        name.eq_ignore_ascii_case("authorization").then_some(self.0.as_bytes())
    }

    fn all(&self, name: &str) -> Vec<&[u8]> {
        self.first(name).into_iter().collect()
    }
}

struct World {
    ca: Authority,
    cas: TrustedCas,
    clock: Clock,
    authenticator: Authenticator,
}

fn world(anonymous: bool) -> World {
    let ca = Authority::new("kubernetes", NOW).unwrap();
    let clock = Clock::manual(NOW);
    let client_cas = TrustedCas::default();
    client_cas.replace(&[ca.certificate_der().to_vec().into()]).unwrap();
    let cas = client_cas.clone();
    let settings = Settings { client_cas, anonymous, ..Settings::new(clock.clone()) };
    World { ca, cas, clock, authenticator: Authenticator::new(&settings).unwrap() }
}

fn peer(ca: &Authority, user: &str, groups: &[&str]) -> Peer {
    let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
    let made = ca.issue_client(user, &groups, NOW, HOUR).unwrap();
    Peer::new(vec![made.certificate_der.into()], None)
}

impl World {
    async fn ask(&self, peer: &Peer, headers: &dyn Headers) -> Result<Caller, Refusal> {
        self.authenticator.authenticate(peer, headers, "/api").await
    }
}

#[tokio::test]
async fn a_certificate_names_user_and_groups() {
    let world = world(true);
    let caller = world.ask(&peer(&world.ca, "jane", &["dev", "ops"]), &()).await.unwrap();
    assert_eq!(caller.name(), "jane");
    assert_eq!(caller.groups(), ["dev", "ops", AUTHENTICATED]);
    assert_eq!(caller.uid(), "");
    let (key, values) = &caller.extra()[0];
    assert_eq!(key, "authentication.kubernetes.io/credential-id");
    assert!(values[0].starts_with("X509SHA256=") && values[0].len() == 11 + 64, "{values:?}");
}

#[tokio::test]
async fn no_credentials_are_anonymous_or_refused_as_set() {
    let nobody = Peer::default();
    let caller = world(true).ask(&nobody, &()).await.unwrap();
    assert_eq!((caller.name(), caller.groups()), (ANONYMOUS, &[UNAUTHENTICATED.to_owned()][..]));
    assert!(world(false).ask(&nobody, &()).await.is_err());
    assert_eq!(world(true).ask(&nobody, &Authorization("Basic YTpi")).await.unwrap().name(), ANONYMOUS);
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_never_anonymous() {
    let world = world(true);
    let stranger = Authority::new("kubernetes", NOW).unwrap();
    let refusal = world.ask(&peer(&stranger, "jane", &["system:masters"]), &()).await.unwrap_err();
    assert_eq!(refusal.reasons.len(), 1);
    assert_eq!(Status::from(refusal), Status::unauthorized());
    assert!(world.ask(&Peer::default(), &Authorization("Bearer nonsense")).await.is_err());
    assert!(world.ask(&Peer::new(vec![vec![1, 2, 3].into()], None), &()).await.is_err());
}

#[tokio::test]
async fn a_good_method_decides_over_a_bad_one() {
    let world = world(true);
    let caller = world.ask(&peer(&world.ca, "jane", &[]), &Authorization("Bearer nonsense")).await.unwrap();
    assert_eq!(caller.name(), "jane");
}

#[tokio::test]
async fn a_server_certificate_is_no_client() {
    let world = world(true);
    let names = certs::ServerNames::new(vec!["localhost".into()], Vec::new());
    let made = world.ca.issue_server(&names, NOW, HOUR).unwrap();
    assert!(world.ask(&Peer::new(vec![made.certificate_der.into()], None), &()).await.is_err());
}

#[tokio::test]
async fn a_verdict_is_kept_with_the_connection_until_the_certificate_ends() {
    let world = world(true);
    let peer = peer(&world.ca, "jane", &[]);
    let first = world.ask(&peer, &()).await.unwrap();
    let second = world.ask(&peer, &()).await.unwrap();
    assert!(std::ptr::eq(first.name(), second.name()), "the same caller, not an equal one");
    world.clock.advance(HOUR + Duration::from_secs(1));
    assert!(world.ask(&peer, &()).await.is_err());
}

#[tokio::test]
async fn a_certificate_that_starts_later_is_refused_until_then() {
    let world = world(true);
    let later = NOW.plus(HOUR);
    let made = world.ca.issue_client("jane", &[], later, HOUR).unwrap();
    let peer = Peer::new(vec![made.certificate_der.into()], None);
    assert!(world.ask(&peer, &()).await.is_err());
    world.clock.advance(HOUR);
    assert_eq!(world.ask(&peer, &()).await.unwrap().name(), "jane");
}

#[tokio::test]
async fn a_ca_is_trusted_only_while_it_is_valid() {
    let (world, century) = (world(true), HOUR * 24 * 36525);
    let of = |ca: &Authority| {
        let made = ca.issue_client("jane", &[], NOW, century).unwrap();
        Peer::new(vec![made.certificate_der.into()], None)
    };
    let der = |ca: &Authority| ca.certificate_der().to_vec().into();
    let later = Authority::new("later", NOW.plus(HOUR * 24)).unwrap();
    world.cas.replace(&[der(&world.ca), der(&later)]).unwrap();
    let (open, early) = (of(&world.ca), of(&later));
    assert_eq!(world.ask(&open, &()).await.unwrap().name(), "jane");
    assert!(world.ask(&early, &()).await.is_err(), "not valid yet");
    world.clock.advance(HOUR * 24);
    assert_eq!(world.ask(&early, &()).await.unwrap().name(), "jane");
    let (_, read) = X509Certificate::from_der(world.ca.certificate_der()).unwrap();
    let left = read.validity().not_after.timestamp() - NOW.plus(HOUR * 24).secs;
    world.clock.advance(Duration::from_secs(left.unsigned_abs()));
    assert!(world.ask(&open, &()).await.is_ok(), "its last second");
    world.clock.advance(Duration::from_secs(1));
    for ended in [open, of(&world.ca)] {
        assert!(world.ask(&ended, &()).await.is_err(), "over, also on a connection that is open");
    }
    assert!(world.ask(&early, &()).await.is_ok(), "the other CA goes on");
}

#[tokio::test]
async fn a_component_is_who_it_was_wired_as_whatever_it_sends() {
    let world = world(false);
    let component = in_process("system:kube-controller-manager", &[]);
    let peer = Peer::in_process(component.clone());
    assert_eq!(world.ask(&peer, &Authorization("Bearer x")).await.unwrap(), component);
}

#[test]
fn a_bad_authority_is_an_error_at_the_start() {
    let cas = TrustedCas::default();
    assert!(cas.replace(&[vec![0; 8].into()]).is_err());
    assert!(cas.is_empty());
}

#[tokio::test]
async fn an_exchanged_authority_counts_at_once_on_connections_that_are_open() {
    let world = world(true);
    let next = Authority::new("kubernetes", NOW).unwrap();
    let (before, after) = (peer(&world.ca, "jane", &[]), peer(&next, "joe", &[]));
    assert!(world.ask(&before, &()).await.is_ok());
    assert!(world.ask(&after, &()).await.is_err());
    world.cas.replace(&[next.certificate_der().to_vec().into()]).unwrap();
    assert!(world.ask(&before, &()).await.is_err());
    assert_eq!(world.ask(&after, &()).await.unwrap().name(), "joe");
}

#[tokio::test]
async fn nobody_is_somebody_only_where_it_is_let() {
    let anonymous_paths = vec!["/livez".to_owned()];
    let settings = Settings { anonymous_paths, ..Settings::new(Clock::system()) };
    let authenticator = Authenticator::new(&settings).unwrap();
    assert!(authenticator.authenticate(&Peer::default(), &(), "/livez").await.is_ok());
    assert!(authenticator.authenticate(&Peer::default(), &(), "/livez/ping").await.is_err());
}

#[tokio::test]
async fn no_byte_of_a_certificate_can_be_changed_or_left_out() {
    let world = world(true);
    let whole = world.ca.issue_client("jane", &["dev".into()], NOW, HOUR).unwrap().certificate_der;
    let flipped = (0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x01;
        bytes
    });
    let cut = (0..whole.len()).map(|len| whole[..len].to_vec());
    for bytes in flipped.chain(cut) {
        let peer = Peer::new(vec![bytes.clone().into()], None);
        assert!(world.ask(&peer, &()).await.is_err(), "{bytes:?}");
    }
}
