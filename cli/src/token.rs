//! `pintle token create|list|delete|generate`: tokens by which nodes join, in kubeadm's words.

mod joining;

use crate::flags::{Create, Token, TokenCommand};
use crate::remote;
use anyhow::{Context, bail, ensure};
use api::{Value, tree};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::{Client, Resource};
use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;
use stdx::{Clock, Ids, Time};

const NAMESPACE: &str = "kube-system";
const TYPE: &str = "bootstrap.kubernetes.io/token";
const PATTERN: &str = r"\A([a-z0-9]{6})\.([a-z0-9]{16})\z";
const ID_PATTERN: &str = r"\A[a-z0-9]{6}\z";
const LETTERS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const USAGE: &str = "usage-bootstrap-";
const GROUP: &str = "system:bootstrappers:";

pub fn run(flags: &Token) -> anyhow::Result<()> {
    let told = match &flags.command {
        TokenCommand::Generate => format!("{}\n", generate(&Ids::system())),
        _ => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(ask(flags))?
        }
    };
    std::io::stdout().write_all(told.as_bytes()).context("cannot print")
}

async fn ask(flags: &Token) -> anyhow::Result<String> {
    let remote = remote::find(flags.access.kubeconfig.as_deref(), &flags.access.data)?;
    let client = Client::connect(&remote, "pintle")?;
    match &flags.command {
        TokenCommand::Create(create) => {
            let token = create_token(&client, create).await?;
            joining::prepare(&client, &remote)
                .await
                .context("the token is there, but nodes cannot join yet")?;
            Ok(format!("{token}\n"))
        }
        TokenCommand::List => list(&client).await,
        TokenCommand::Delete { tokens } => delete(&client, tokens).await,
        TokenCommand::Generate => Ok(String::new()),
    }
}

fn secrets() -> Resource {
    Resource::namespaced("", "v1", "secrets")
}

/// A random token, from the system's source.
fn generate(ids: &Ids) -> String {
    let mut letters = (0..22).map(|_| {
        let at = usize::try_from(ids.below(36)).unwrap_or(0);
        LETTERS.get(at).map_or('0', |letter| char::from(*letter))
    });
    let id: String = letters.by_ref().take(6).collect();
    format!("{id}.{}", letters.collect::<String>())
}

fn is_part(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| LETTERS.contains(&byte))
}

/// ID and secret of a token.
fn split(token: &str) -> Option<(&str, &str)> {
    token.split_once('.').filter(|(id, secret)| is_part(id, 6) && is_part(secret, 16))
}

async fn create_token(client: &Client, flags: &Create) -> anyhow::Result<String> {
    let token = flags.token.clone().unwrap_or_else(|| generate(&Ids::system()));
    let secret = secret(&token, flags, Clock::system().now())?;
    match client.create(&secrets(), NAMESPACE, &secret).await {
        Ok(_) => Ok(token),
        Err(error) if error.is_already_exists() => {
            bail!("a token with id {:?} already exists", split(&token).map_or("", |(id, _)| id))
        }
        Err(error) => Err(error.into()),
    }
}

/// The secret that a token is.
fn secret(token: &str, flags: &Create, now: Time) -> anyhow::Result<Value> {
    let (id, key) = split(token)
        .with_context(|| format!("the bootstrap token {token:?} was not of the form {PATTERN:?}"))?;
    let mut data = vec![("token-id".to_owned(), id.to_owned()), ("token-secret".to_owned(), key.to_owned())];
    if !flags.description.is_empty() {
        data.push(("description".to_owned(), flags.description.clone()));
    }
    let ttl = api::time::parse_duration(&flags.ttl).map_err(anyhow::Error::msg)?;
    ensure!(ttl >= 0, "--ttl must not be negative");
    if let Some(ttl) = u64::try_from(ttl).ok().filter(|ttl| *ttl > 0) {
        data.push(("expiration".to_owned(), now.plus(Duration::from_nanos(ttl)).rfc3339()));
    }
    for usage in flags.usages.iter().filter(|usage| !usage.is_empty()) {
        let known = ["signing", "authentication"].contains(&usage.as_str());
        ensure!(known, "invalid usage {usage:?}: it is signing or authentication");
        data.push((format!("{USAGE}{usage}"), "true".to_owned()));
    }
    let groups: Vec<&str> =
        flags.groups.iter().map(String::as_str).filter(|group| !group.is_empty()).collect();
    for group in &groups {
        ensure!(
            is_group(group),
            "bootstrap group {group:?} is invalid (must match {GROUP}[a-z0-9:-]{{0,255}}[a-z0-9])"
        );
    }
    if !groups.is_empty() {
        data.push(("auth-extra-groups".to_owned(), groups.join(",")));
    }
    let data: api::Map = data.into_iter().map(|(key, text)| (key, STANDARD.encode(text))).collect();
    let meta = tree!({"name": format!("bootstrap-token-{id}"), "namespace": NAMESPACE});
    Ok(tree!({"metadata": meta, "type": TYPE, "data": Value::Map(data)}))
}

fn is_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix(GROUP) else { return false };
    let plain = |byte: u8| LETTERS.contains(&byte);
    (1..=256).contains(&rest.len())
        && rest.bytes().all(|byte| plain(byte) || matches!(byte, b':' | b'-'))
        && rest.bytes().last().is_some_and(plain)
}

async fn delete(client: &Client, tokens: &[String]) -> anyhow::Result<String> {
    let mut told = String::new();
    for token in tokens {
        let id = if is_part(token, 6) { Some(token.as_str()) } else { split(token).map(|(id, _)| id) };
        let id =
            id.with_context(|| format!("given token didn't match pattern {PATTERN:?} or {ID_PATTERN:?}"))?;
        let deleted =
            client.delete(&secrets(), NAMESPACE, &format!("bootstrap-token-{id}"), &Value::Null).await;
        deleted.with_context(|| format!("failed to delete bootstrap token {id:?}"))?;
        let _ = writeln!(told, "bootstrap token {id:?} deleted");
    }
    Ok(told)
}

async fn list(client: &Client) -> anyhow::Result<String> {
    let query = "fieldSelector=type%3Dbootstrap.kubernetes.io%2Ftoken";
    let found = client.list(&secrets(), NAMESPACE, query).await.context("failed to list bootstrap tokens")?;
    let now = Clock::system().now();
    let rows: Vec<[String; 6]> = found.list_at(&["items"]).iter().map(|secret| row(secret, now)).collect();
    Ok(if rows.is_empty() { String::new() } else { table(&rows) })
}

fn row(secret: &Value, now: Time) -> [String; 6] {
    let text = |key: &str| data_text(secret, key);
    let or_none = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
    let ends = text("expiration");
    let (ttl, expires) = match api::time::parse(&ends) {
        Ok(time) => (short(time.secs - now.secs), ends),
        Err(_) => ("<forever>".to_owned(), "<never>".to_owned()),
    };
    let data = secret.map_at(&["data"]);
    let mut usages: Vec<&str> = data
        .iter()
        .flat_map(|data| data.keys())
        .filter_map(|key| key.as_str().strip_prefix(USAGE))
        .filter(|usage| text(&format!("{USAGE}{usage}")) == "true")
        .collect();
    usages.sort_unstable();
    [
        format!("{}.{}", text("token-id"), text("token-secret")),
        format!("{ttl:<9}"),
        expires,
        format!("{:<22}", or_none(usages.join(","))),
        format!("{:<56}", or_none(text("description"))),
        or_none(text("auth-extra-groups")),
    ]
}

fn data_text(secret: &Value, key: &str) -> String {
    let bytes = STANDARD.decode(secret.str_at(&["data", key])).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A time to come, in its largest unit.
fn short(secs: i64) -> String {
    match secs {
        ..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..60 => format!("{secs}s"),
        60..3600 => format!("{}m", secs / 60),
        3600..86_400 => format!("{}h", secs / 3600),
        86_400..31_536_000 => format!("{}d", secs / 86_400),
        _ => format!("{}y", secs / 31_536_000),
    }
}

/// Columns, each at least ten wide and three apart.
fn table(rows: &[[String; 6]]) -> String {
    let heads = ["TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"].map(str::to_owned);
    let widths: Vec<usize> = (0..5)
        .map(|at| {
            let cells = std::iter::once(&heads).chain(rows).filter_map(|row| row.get(at));
            cells.map(|cell| cell.chars().count() + 3).max().unwrap_or(0).max(10)
        })
        .collect();
    let mut told = String::new();
    for row in std::iter::once(&heads).chain(rows) {
        for (at, cell) in row.iter().enumerate() {
            let width = widths.get(at).copied().unwrap_or(0);
            let _ = write!(told, "{cell:<width$}");
        }
        told.push('\n');
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1_800_000_000);

    fn flags() -> Create {
        Create {
            token: None,
            ttl: "24h0m0s".to_owned(),
            usages: vec!["signing".to_owned(), "authentication".to_owned()],
            groups: vec!["system:bootstrappers:kubeadm:default-node-token".to_owned()],
            description: String::new(),
        }
    }

    #[test]
    fn a_token_is_a_secret_and_is_read_back() {
        let secret = secret("abcdef.0123456789abcdef", &flags(), NOW).unwrap();
        assert_eq!(secret.str_at(&["metadata", "name"]), "bootstrap-token-abcdef");
        let row = row(&secret, NOW).map(|cell| cell.trim().to_owned());
        assert_eq!(
            row,
            [
                "abcdef.0123456789abcdef",
                "1d",
                "2027-01-16T08:00:00Z",
                "authentication,signing",
                "<none>",
                "system:bootstrappers:kubeadm:default-node-token"
            ]
        );
        let forever = Create { ttl: "0".to_owned(), ..flags() };
        let secret = self::secret("abcdef.0123456789abcdef", &forever, NOW).unwrap();
        assert_eq!(self::row(&secret, NOW)[2], "<never>");
    }

    #[test]
    fn what_the_server_would_not_take_is_refused() {
        let token = "abcdef.0123456789abcdef";
        assert!(secret("abcdef", &flags(), NOW).is_err());
        assert!(secret("ABCDEF.0123456789abcdef", &flags(), NOW).is_err());
        for wrong in [
            Create { usages: vec!["other".to_owned()], ..flags() },
            Create { groups: vec!["system:masters".to_owned()], ..flags() },
            Create { ttl: "-1h".to_owned(), ..flags() },
            Create { ttl: "1".to_owned(), ..flags() },
        ] {
            assert!(secret(token, &wrong, NOW).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn generated_tokens_are_well_formed_and_differ() {
        let ids = Ids::seeded(1);
        let (one, two) = (generate(&ids), generate(&ids));
        assert!(split(&one).is_some() && split(&two).is_some() && one != two);
    }

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let told: Vec<String> = [-5, -1, 0, 59, 60, 3600, 86_400, 31_536_000].map(short).to_vec();
        assert_eq!(told, ["<invalid>", "0s", "0s", "59s", "1m", "1h", "1d", "1y"]);
    }

    #[test]
    fn columns_stand_below_each_other() {
        let secret = secret("abcdef.0123456789abcdef", &flags(), NOW).unwrap();
        let text = table(&[row(&secret, NOW)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("TTL"), lines[1].find("1d"));
        assert_eq!(lines[0].find("EXTRA GROUPS"), lines[1].find("system:bootstrappers"));
    }
}
