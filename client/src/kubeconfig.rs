//! Kubeconfig files as clients read them; `Remote::from_kubeconfig` knows what is in them.

use api::Remote;
use std::path::Path;

/// How to reach the server of the current context of a file; files that it names are found from its own folder.
///
/// # Errors
/// Go's text when a file cannot be read, client-go's when the configuration is not good.
pub fn read(path: &Path) -> Result<Remote, String> {
    let text = read_file(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Remote::from_kubeconfig(&text, &|name| read_file(&folder.join(name)))
}

/// The bytes of a file, or Go's words why not: `open PATH: no such file or directory`.
pub fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|why| {
        let text = why.to_string();
        let text = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
        format!("open {}: {text}", path.display())
    })
}
