//! What was pulled with whose credentials, kept over restarts: an image that one pod's secret opened is for pods with
//! that secret, although it is on the machine. What was there before, or came without credentials, is for all.

use super::credentials::Credential;
use api::{Value, json, tree};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The folder and the file in it, in the kubelet's folder: for root alone, as short passwords can be guessed from it.
const FOLDER: &str = "image_manager";
const FILE: &str = "pulled_images.json";

pub struct Records {
    file: PathBuf,
    /// `REPOSITORY IMAGE` → hashes of the credentials that opened it; none: it is for all.
    holders: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl Records {
    /// Reads what is kept; what cannot be read counts as nothing.
    pub fn open(root: &Path) -> Self {
        let file = root.join(FOLDER).join(FILE);
        let kept = fs::read(&file).ok().and_then(|text| json::parse(&text).ok());
        let entries = kept.as_ref().and_then(Value::as_map).into_iter().flat_map(api::Map::iter);
        let hashes = |list: &Value| {
            let list = list.as_list().unwrap_or_default();
            list.iter().filter_map(|hash| Some(hash.as_str()?.to_owned())).collect::<BTreeSet<_>>()
        };
        let holders = entries.map(|(image, list)| (image.to_string(), hashes(list))).collect();
        Records { file, holders: Mutex::new(holders) }
    }

    /// The hashes of credentials of which one is needed; nothing when the image is for all. Who names an image by its id,
    /// or by a name that it was not pulled under, has shown no right to it: none fits.
    pub fn holders(&self, repository: &str, image: &str) -> Option<BTreeSet<String>> {
        let all = self.holders.lock();
        let mut of_image = all.iter().filter(|(name, _)| image_of(name) == Some(image)).peekable();
        of_image.peek()?;
        let own = all.get(&format!("{repository} {image}")).cloned().unwrap_or_default();
        of_image.all(|(_, holders)| !holders.is_empty()).then_some(own)
    }

    /// Notes a pull. One without credentials, or with the node's, opens the image for all, for good.
    pub fn pulled(&self, repository: &str, image: &str, key: Option<&Credential>) {
        let name = format!("{repository} {image}");
        let mut all = self.holders.lock();
        let changed = match (all.get_mut(&name), key.filter(|key| key.of_pod)) {
            (Some(holders), Some(key)) => !holders.is_empty() && holders.insert(key.hash()),
            (Some(holders), None) => !std::mem::take(holders).is_empty(),
            (None, key) => all.insert(name, key.map(Credential::hash).into_iter().collect()).is_none(),
        };
        if changed {
            self.keep(&all);
        }
    }

    /// Forgets images that are gone.
    pub fn forget(&self, is_there: impl Fn(&str) -> bool) {
        let mut holders = self.holders.lock();
        let before = holders.len();
        holders.retain(|name, _| image_of(name).is_some_and(&is_there));
        if holders.len() != before {
            self.keep(&holders);
        }
    }

    fn keep(&self, holders: &BTreeMap<String, BTreeSet<String>>) {
        let mut file = tree!({});
        for (name, hashes) in holders {
            let list = hashes.iter().map(|hash| Value::from(hash.as_str())).collect();
            file.set(&[name], Value::List(list));
        }
        if let Err(error) = self.write(&json::to_vec(&file)) {
            tracing::warn!(%error, "what was pulled with which credentials cannot be kept");
        }
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        if let Some(folder) = self.file.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let whole = self.file.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).open(&whole)?.write_all(text)?;
        fs::rename(&whole, &self.file)
    }
}

/// The image of an entry.
fn image_of(name: &str) -> Option<&str> {
    name.rsplit_once(' ').map(|(_, image)| image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_image_stays_for_those_whose_secret_opened_it() {
        let folder = tempfile::tempdir().unwrap();
        let key = Credential { username: "a".into(), password: "b".into(), of_pod: true };
        let records = Records::open(folder.path());
        assert_eq!(records.holders("reg.io/a", "sha256:1"), None);
        records.pulled("reg.io/a", "sha256:1", Some(&key));
        let again = Records::open(folder.path());
        assert_eq!(again.holders("reg.io/a", "sha256:1"), Some(BTreeSet::from([key.hash()])));
        again.pulled("reg.io/a", "sha256:1", None);
        assert_eq!(Records::open(folder.path()).holders("reg.io/a", "sha256:1"), None);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&again.file), mode(again.file.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn another_name_or_the_id_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let key = Credential { username: "a".into(), password: "b".into(), of_pod: true };
        let records = Records::open(folder.path());
        assert_eq!(records.holders("docker.io/library/sha256", "sha256:1"), None, "it was there before");
        records.pulled("reg.io/a", "sha256:1", Some(&key));
        assert_eq!(records.holders("docker.io/library/sha256", "sha256:1"), Some(BTreeSet::new()));
        assert_eq!(records.holders("reg.io/a", "sha256:2"), None);
        records.pulled("reg.io/open", "sha256:1", None);
        records.pulled("reg.io/open", "sha256:1", Some(&key));
        let again = Records::open(folder.path());
        for name in ["reg.io/open", "reg.io/a", "docker.io/library/sha256"] {
            assert_eq!(again.holders(name, "sha256:1"), None, "anybody can have it");
        }
        again.pulled("reg.io/b", "sha256:2", Some(&key));
        again.forget(|image| image != "sha256:2");
        assert_eq!(again.holders("reg.io/a", "sha256:2"), None);
    }
}
