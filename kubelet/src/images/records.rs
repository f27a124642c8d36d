//! What was pulled with whose credentials, kept over restarts: an image that one pod's secret opened is for pods with
//! that secret, although it is on the machine. What was there before, or came without credentials, is for all.

use super::credentials::Credential;
use api::{Value, json, tree};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The file, in the kubelet's folder.
const FILE: &str = "pulled_images.json";

pub struct Records {
    file: PathBuf,
    /// `REPOSITORY IMAGE` → hashes of the credentials that opened it.
    holders: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl Records {
    /// Reads what is kept; what cannot be read counts as nothing.
    pub fn open(root: &Path) -> Self {
        let file = root.join(FILE);
        let kept = std::fs::read(&file).ok().and_then(|text| json::parse(&text).ok());
        let entries = kept.as_ref().and_then(Value::as_map).into_iter().flat_map(api::Map::iter);
        let hashes = |list: &Value| {
            let list = list.as_list().unwrap_or_default();
            list.iter().filter_map(|hash| Some(hash.as_str()?.to_owned())).collect::<BTreeSet<_>>()
        };
        let holders = entries.map(|(image, list)| (image.to_string(), hashes(list))).collect();
        Records { file, holders: Mutex::new(holders) }
    }

    /// The hashes of credentials of which one is needed; nothing when the image is for all.
    pub fn holders(&self, repository: &str, image: &str) -> Option<BTreeSet<String>> {
        self.holders.lock().get(&format!("{repository} {image}")).cloned()
    }

    /// Notes a pull. One without credentials, or with the node's, opens the image for all.
    pub fn pulled(&self, repository: &str, image: &str, key: Option<&Credential>) {
        let name = format!("{repository} {image}");
        let mut holders = self.holders.lock();
        let changed = match key.filter(|key| key.of_pod) {
            Some(key) => holders.entry(name).or_default().insert(key.hash()),
            None => holders.remove(&name).is_some(),
        };
        if changed {
            self.keep(&holders);
        }
    }

    /// Forgets images that are gone.
    pub fn forget(&self, is_there: impl Fn(&str) -> bool) {
        let mut holders = self.holders.lock();
        let before = holders.len();
        holders.retain(|name, _| name.rsplit_once(' ').is_some_and(|(_, image)| is_there(image)));
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
        let whole = self.file.with_extension("new");
        let written =
            std::fs::write(&whole, json::to_vec(&file)).and_then(|()| std::fs::rename(&whole, &self.file));
        if let Err(error) = written {
            tracing::warn!(%error, "what was pulled with which credentials cannot be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_stays_for_those_whose_secret_opened_it() {
        let folder = std::env::temp_dir().join(format!("pulled-images-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let key = Credential { username: "a".into(), password: "b".into(), of_pod: true };
        let records = Records::open(&folder);
        assert_eq!(records.holders("reg.io/a", "sha256:1"), None);
        records.pulled("reg.io/a", "sha256:1", Some(&key));
        let again = Records::open(&folder);
        assert_eq!(again.holders("reg.io/a", "sha256:1"), Some(BTreeSet::from([key.hash()])));
        again.pulled("reg.io/a", "sha256:1", None);
        assert_eq!(Records::open(&folder).holders("reg.io/a", "sha256:1"), None);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
