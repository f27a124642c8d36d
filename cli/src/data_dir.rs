//! The data directory: one process at a time, of a format that this version knows.
//!
//! | in it | is |
//! |---|---|
//! | `format` | the number of the format of all the rest |
//! | `lock` | held by the process that uses the directory |
//! | `pki/` | keys and certificates (`certs`) |
//! | `store/` | objects (`store`, the embedded engine) |
//! | `endpoint` | the URL of the server, as of the last start |
//! | `admin.kubeconfig` | unless it was asked for elsewhere |

use anyhow::{Context, bail};
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The format that this version writes. Raise it when an older version would misread what is written.
const FORMAT: u32 = 1;

/// A data directory that is ours until this is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes or takes over a directory.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.with_context(|| format!("cannot use the data directory {shown}"))?;
        let lock_path = path.join("lock");
        let lock =
            File::create(&lock_path).with_context(|| format!("cannot write {}", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("the data directory {shown} is in use by another process"),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", lock_path.display()));
            }
        }
        check_format(path)?;
        Ok(DataDir { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the URL of the server, for kubeconfigs to come.
    pub fn keep_endpoint(&self, url: &str) -> anyhow::Result<()> {
        let file = self.path.join("endpoint");
        fs::write(&file, url).with_context(|| format!("cannot write {}", file.display()))
    }
}

/// The keys and certificates of the cluster in `data_dir`.
pub fn pki_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("pki")
}

/// Where the server of the cluster in `data_dir` was when it last started.
pub fn endpoint(data_dir: &Path) -> Option<String> {
    fs::read_to_string(data_dir.join("endpoint")).ok().filter(|url| !url.is_empty())
}

fn check_format(path: &Path) -> anyhow::Result<()> {
    let file = path.join("format");
    let shown = file.display();
    match fs::read_to_string(&file) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(FORMAT) => Ok(()),
            Ok(newer) if newer > FORMAT => {
                bail!(
                    "{} has data of a newer pintle: format {newer}, this one knows {FORMAT}",
                    path.display()
                )
            }
            _ => bail!("damaged {shown}: no number of a known format"),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::write(&file, format!("{FORMAT}\n")).with_context(|| format!("cannot write {shown}"))
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => bail!("damaged {shown}: not a text"),
        Err(error) => Err(error).with_context(|| format!("cannot read {shown}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path) -> String {
        format!("{:#}", DataDir::open(path).unwrap_err())
    }

    #[test]
    fn a_directory_belongs_to_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let first = DataDir::open(&path).unwrap();
        assert!(refusal(&path).ends_with("is in use by another process"));
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn other_formats_are_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataDir::open(dir.path()).unwrap());
        let file = dir.path().join("format");
        for (content, says) in [("2", "newer pintle"), ("0", "damaged"), ("x", "damaged"), ("", "damaged")] {
            fs::write(&file, content).unwrap();
            assert!(refusal(dir.path()).contains(says), "{content}");
            assert_eq!(fs::read_to_string(&file).unwrap(), content);
        }
    }

    #[test]
    fn a_file_is_no_directory() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(refusal(&file).contains(&file.display().to_string()));
    }

    #[test]
    fn the_endpoint_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(endpoint(dir.path()), None);
        DataDir::open(dir.path()).unwrap().keep_endpoint("https://a:1").unwrap();
        assert_eq!(endpoint(dir.path()).as_deref(), Some("https://a:1"));
    }
}
