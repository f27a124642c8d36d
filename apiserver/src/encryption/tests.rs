//! Values that go into a store and come back, by configurations as files have them.

use super::kms::tests::FakePlugin;
use super::*;
use store::{Seal, Space, Store, StoreConfig, Txn};

const SECRET: &[u8] = b"k8s\0the plain text of a secret";

/// A key of 32 bytes in base64.
fn key(byte: u8) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode([byte; 32])
}

fn keys(names: &[(&str, u8)]) -> String {
    let keys = names.iter().map(|(name, byte)| format!("{{name: {name}, secret: '{}'}}", key(*byte)));
    format!("{{keys: [{}]}}", keys.collect::<Vec<_>>().join(", "))
}

/// A file with these entries: resources and providers.
struct File(tempfile::NamedTempFile);

impl File {
    fn new(entries: &[(&str, &str)]) -> Self {
        let file = File(tempfile::NamedTempFile::new().unwrap());
        file.write(entries);
        file
    }

    fn write(&self, entries: &[(&str, &str)]) {
        let entries = entries
            .iter()
            .map(|(resources, providers)| format!("- resources: {resources}\n  providers: {providers}\n"));
        let text = format!(
            "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n{}",
            entries.collect::<String>()
        );
        std::fs::write(self.0.path(), text).unwrap();
    }

    async fn open(&self) -> Result<Arc<Encryption>, String> {
        Encryption::open(self.0.path(), false, Ids::system()).await
    }
}

async fn with(resources: &str, providers: &str) -> Arc<Encryption> {
    File::new(&[(resources, providers)]).open().await.unwrap()
}

fn at(prefix: &str, rest: &str) -> Key {
    Key::new(&Space::new(prefix), rest)
}

fn secret_key() -> Key {
    at("/registry/secrets/", "a/s")
}

fn sealed(encryption: &Encryption, key: &Key) -> Option<Bytes> {
    encryption.seal(key, &Bytes::from_static(SECRET)).unwrap()
}

#[tokio::test]
async fn each_provider_seals_behind_its_mark_and_all_open() {
    for (name, mark) in [
        ("aescbc", "k8s:enc:aescbc:v1:k1:"),
        ("aesgcm", "k8s:enc:aesgcm:v1:k1:"),
        ("secretbox", "k8s:enc:secretbox:v1:k1:"),
    ] {
        let one = keys(&[("k1", 1)]);
        let encryption = with("[secrets]", &format!("[{{{name}: {one}}}, {{identity: {{}}}}]")).await;
        let kept = sealed(&encryption, &secret_key()).unwrap();
        assert!(kept.starts_with(mark.as_bytes()));
        assert!(!kept.windows(10).any(|window| SECRET.windows(10).any(|plain| plain == window)));
        assert_eq!(encryption.open(&secret_key(), &kept).unwrap().unwrap(), SECRET);
        assert!(!encryption.is_stale(&secret_key(), &kept));
        // What was there before is read, and sealed when it is written again.
        let plain = Bytes::from_static(SECRET);
        assert_eq!(encryption.open(&secret_key(), &plain), Ok(None));
        assert!(encryption.is_stale(&secret_key(), &plain));
        let other = at("/registry/configmaps/", "a/s");
        assert_eq!(sealed(&encryption, &other), None);
        let refused = encryption.open(&other, &kept).unwrap_err();
        assert_eq!(refused, "identity transformer tried to read encrypted data");
    }
}

#[tokio::test]
async fn keys_are_rotated_by_putting_the_new_one_first() {
    let providers = |names: &[(&str, u8)]| format!("[{{aesgcm: {}}}]", keys(names));
    let old = with("[secrets]", &providers(&[("k1", 1)])).await;
    let kept = sealed(&old, &secret_key()).unwrap();
    let both = with("[secrets]", &providers(&[("k2", 2), ("k1", 1)])).await;
    assert_eq!(both.open(&secret_key(), &kept).unwrap().unwrap(), SECRET);
    assert!(both.is_stale(&secret_key(), &kept));
    let renewed = sealed(&both, &secret_key()).unwrap();
    assert!(renewed.starts_with(b"k8s:enc:aesgcm:v1:k2:") && !both.is_stale(&secret_key(), &renewed));
    assert_eq!(
        old.open(&secret_key(), &renewed).unwrap_err(),
        "no matching key was found for the provided AES transformer"
    );
    let wrong = with("[secrets]", &providers(&[("k1", 9)])).await;
    assert_eq!(wrong.open(&secret_key(), &kept).unwrap_err(), "cipher: message authentication failed");
    let other = with("[secrets]", "[{identity: {}}]").await;
    assert_eq!(other.open(&secret_key(), &kept).unwrap_err(), "no matching prefix found");
    // The same provider twice, as upstream's documents rotate: the first failure is no end.
    let twice = format!("[{{aesgcm: {}}}, {{aesgcm: {}}}]", keys(&[("k1", 9)]), keys(&[("k1", 1)]));
    let twice = with("[secrets]", &twice).await;
    assert_eq!(twice.open(&secret_key(), &kept).unwrap().unwrap(), SECRET);
    assert!(twice.is_stale(&secret_key(), &kept));
}

#[tokio::test]
async fn the_nearest_rule_counts_and_none_may_hide_another() {
    let box_of = |byte| format!("[{{secretbox: {}}}]", keys(&[("k", byte)]));
    let (one, two, three) = (box_of(1), box_of(2), box_of(3));
    let file = File::new(&[
        ("[secrets]", "[{identity: {}}]"),
        ("['*.']", &one),
        ("['*.apps']", &two),
        ("['*.*']", &three),
    ]);
    let encryption = file.open().await.unwrap();
    assert_eq!(sealed(&encryption, &secret_key()), None);
    for (prefix, rest, opens) in [
        ("/registry/configmaps/", "a/b", &one),
        ("/registry/services/specs/", "a/b", &one),
        ("/registry/events/", "a/b", &one),
        ("/registry/deployments/", "a/b", &two),
        ("/registry/foos.example.com/", "a/b", &three),
        ("/registry/example.com/foos/", "a/b", &three),
    ] {
        let key = at(prefix, rest);
        let Some(kept) = sealed(&encryption, &key) else {
            assert!(prefix.contains("foos.example.com"), "{prefix}");
            continue;
        };
        let alone = with("['*.*']", opens).await;
        assert_eq!(alone.open(&key, &kept).unwrap().unwrap(), SECRET, "{prefix}");
    }
    let masked = File::new(&[("['*.*']", &one), ("[secrets]", &two)]).open().await.unwrap_err();
    assert_eq!(
        masked,
        "error while building transformers: resource \"secrets\" is masked by earlier rule \"*.*\""
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_asked_once_for_each_data_key() {
    let plugin = FakePlugin::start();
    let providers = format!("[{{kms: {{apiVersion: v2, name: p, endpoint: '{}'}}}}]", plugin.endpoint);
    let encryption = with("[secrets]", &providers).await;
    let kept = sealed(&encryption, &secret_key()).unwrap();
    assert!(kept.starts_with(b"k8s:enc:kms:v2:p:"));
    sealed(&encryption, &secret_key()).unwrap();
    assert_eq!((plugin.calls("Encrypt"), plugin.calls("Decrypt")), (1, 0));
    assert_eq!(encryption.open(&secret_key(), &kept).unwrap().unwrap(), SECRET);
    assert_eq!(plugin.calls("Decrypt"), 0);
    // Another server, or this one after a restart.
    let other = with("[secrets]", &providers).await;
    for _ in 0..3 {
        assert_eq!(other.open(&secret_key(), &kept).unwrap().unwrap(), SECRET);
    }
    assert_eq!(plugin.calls("Decrypt"), 1);
    assert!(!other.is_stale(&secret_key(), &kept));
    let moved = at("/registry/secrets/", "a/other");
    assert_eq!(other.open(&moved, &kept).unwrap_err(), "cipher: message authentication failed");
    plugin.behaviour.lock().key_id = "key-2".into();
    let after = with("[secrets]", &providers).await;
    assert_eq!(after.open(&secret_key(), &kept).unwrap().unwrap(), SECRET);
    assert!(after.is_stale(&secret_key(), &kept));
    assert_eq!(after.check().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_fails_is_told_of_and_nothing_is_written_plain() {
    let plugin = FakePlugin::start();
    plugin.behaviour.lock().fails = Some("no%20keys".into());
    let providers = format!(
        "[{{kms: {{apiVersion: v2, name: p, endpoint: '{}'}}}}, {{identity: {{}}}}]",
        plugin.endpoint
    );
    let encryption = with("[secrets]", &providers).await;
    assert!(encryption.seal(&secret_key(), &Bytes::from_static(SECRET)).is_err());
    assert_eq!(
        encryption.check().await.unwrap_err(),
        "failed to perform status section of the healthz check for KMS Provider p, error: rpc error: code = PermissionDenied desc = no keys"
    );
    plugin.behaviour.lock().fails = None;
    let well = with("[secrets]", &providers).await;
    let kept = sealed(&well, &secret_key()).unwrap();
    plugin.behaviour.lock().fails = Some("gone".into());
    assert_eq!(
        encryption.open(&secret_key(), &kept).unwrap_err(),
        "failed to decrypt DEK, error: rpc error: code = PermissionDenied desc = gone"
    );
    let nobody = "[{kms: {apiVersion: v2, name: p, endpoint: 'unix:///nowhere.sock'}}]";
    let nobody = with("[secrets]", nobody).await;
    assert!(nobody.check().await.unwrap_err().contains("code = Unavailable"));
    let v1 = "[{kms: {name: p, endpoint: 'unix:///nowhere.sock'}}]";
    let refused = File::new(&[("[secrets]", v1)]).open().await.unwrap_err();
    assert!(refused.starts_with("error while building transformers: KMSv1 is deprecated"), "{refused}");
}

#[tokio::test]
async fn a_changed_file_is_used_and_a_broken_one_is_not() {
    let one = format!("[{{aescbc: {}}}]", keys(&[("k1", 1)]));
    let file = File::new(&[("[secrets]", &one)]);
    let encryption = file.open().await.unwrap();
    let kept = sealed(&encryption, &secret_key()).unwrap();
    std::fs::write(file.0.path(), "kind: [").unwrap();
    assert!(encryption.reload().await.is_err());
    assert!(!encryption.is_stale(&secret_key(), &kept));
    file.write(&[("[secrets]", &format!("[{{aescbc: {}}}]", keys(&[("k2", 2), ("k1", 1)])))]);
    encryption.reload().await.unwrap();
    assert!(encryption.is_stale(&secret_key(), &kept));
    assert_eq!(encryption.open(&secret_key(), &kept).unwrap().unwrap(), SECRET);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_not_used_while_its_plugin_is_sick() {
    let one = keys(&[("k1", 1)]);
    let file = File::new(&[("[secrets]", &format!("[{{aescbc: {one}}}]"))]);
    let encryption = file.open().await.unwrap();
    let plugin = FakePlugin::start();
    plugin.behaviour.lock().fails = Some("gone".into());
    let kms = format!("{{kms: {{apiVersion: v2, name: p, endpoint: '{}'}}}}", plugin.endpoint);
    file.write(&[("[secrets]", &format!("[{kms}, {{aescbc: {one}}}]"))]);
    assert!(encryption.reload().await.unwrap_err().contains("desc = gone"));
    assert!(sealed(&encryption, &secret_key()).unwrap().starts_with(b"k8s:enc:aescbc:v1:k1:"));
    plugin.behaviour.lock().fails = None;
    encryption.reload().await.unwrap();
    assert!(sealed(&encryption, &secret_key()).unwrap().starts_with(b"k8s:enc:kms:v2:p:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_comes_late_is_waited_for_once_and_then_opens_everything() {
    let plugin = FakePlugin::start();
    let providers = |endpoint: &str| {
        format!("[{{kms: {{apiVersion: v2, name: p, endpoint: '{endpoint}', timeout: 500ms}}}}]")
    };
    let well = with("[secrets]", &providers(&plugin.endpoint)).await;
    let kept = sealed(&well, &secret_key()).unwrap();
    // With another data key.
    let other = sealed(&*with("[secrets]", &providers(&plugin.endpoint)).await, &secret_key()).unwrap();

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("late.sock");
    // Takes connections, and never says a word.
    let silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let endpoint = format!("unix://{}", path.display());
    let late = with("[secrets]", &providers(&endpoint)).await;
    let began = std::time::Instant::now();
    for kept in [&kept, &other, &kept, &other, &kept, &other] {
        let refused = late.open(&secret_key(), kept).unwrap_err();
        assert!(refused.starts_with("failed to decrypt DEK, error: rpc error: code = DeadlineExceeded"));
    }
    assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
    drop(silent);
    std::fs::remove_file(&path).unwrap();
    std::fs::hard_link(plugin.endpoint.strip_prefix("unix://").unwrap(), &path).unwrap();
    tokio::time::sleep(Duration::from_millis(3100)).await;
    assert_eq!(late.open(&secret_key(), &kept).unwrap().unwrap(), SECRET);
    assert_eq!(late.open(&secret_key(), &other).unwrap().unwrap(), SECRET);
}

#[tokio::test]
async fn a_durable_store_keeps_no_plain_text_and_needs_the_key_again() {
    let dir = tempfile::tempdir().unwrap();
    let providers = |byte| format!("[{{secretbox: {}}}]", keys(&[("k", byte)]));
    let open = async |byte| {
        let seal: Arc<dyn Seal> = with("[secrets]", &providers(byte)).await;
        Store::open(StoreConfig { seal: Some(seal), ..StoreConfig::embedded(dir.path()) }).await.unwrap()
    };
    let store = open(1).await;
    store.commit(Txn::new().put(secret_key(), SECRET)).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET));
    }
    let wrong = open(2).await;
    let found = wrong.get(&secret_key()).await.unwrap().unwrap();
    assert_eq!(found.fault(), Some("output array was not large enough for encryption"));
    wrong.close().await.unwrap();
    drop((found, wrong));
    let right = open(1).await;
    assert_eq!(right.get(&secret_key()).await.unwrap().unwrap().value, SECRET);
    right.close().await.unwrap();
}

#[test]
fn garbage_for_a_configuration_is_refused_or_read_but_never_worse() {
    let good = format!(
        "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: [secrets, '*.apps']\n\
         \x20 providers: [{{aescbc: {0}}}, {{secretbox: {0}}}, {{identity: {{}}}},\n\
         \x20   {{kms: {{apiVersion: v2, name: k, endpoint: 'unix:///nowhere', timeout: 3s}}}}]\n",
        keys(&[("k1", 1), ("k2", 2)])
    );
    assert!(config::parse(good.as_bytes()).is_ok());
    let secret = key(1);
    let mut refused = 0;
    crate::garbage::variants(&good, 3000, |text| {
        let outcome = config::parse(text).map(drop);
        refused += usize::from(outcome.is_err());
        assert!(crate::garbage::is_clear(&outcome), "{}", String::from_utf8_lossy(text));
        assert!(!outcome.is_err_and(|why| why.contains(&secret)), "{}", String::from_utf8_lossy(text));
    });
    assert!((1000..3000).contains(&refused), "{refused}");
}

#[tokio::test]
async fn what_was_tampered_with_never_opens_as_something_else() {
    let providers = format!("[{{aesgcm: {0}}}, {{secretbox: {0}}}, {{identity: {{}}}}]", keys(&[("k1", 1)]));
    let encryption = with("[secrets]", &providers).await;
    let kept = sealed(&encryption, &secret_key()).unwrap();
    for at in 0..kept.len() {
        let mut bad = kept.to_vec();
        bad[at] ^= 4;
        let opened = encryption.open(&secret_key(), &bad.into());
        // Without its mark it is no sealed value, and is taken as it is.
        assert!(matches!(opened, Err(_) | Ok(None)), "{at}");
    }
}
