//! Paths of the machine: what must be there, or is made.

use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::set_mode;

/// Looks whether a path is of the type that the volume says; "" asks for nothing.
///
/// # Errors
/// Upstream's texts, when it is not.
pub fn check(path: &str, ty: &str) -> Result<(), String> {
    if path.split('/').any(|part| part == "..") {
        return Err(format!("invalid HostPath `{path}`: must not contain '..'"));
    }
    let there = fs::metadata(path).ok().map(|m| m.file_type());
    let made = match (ty, there.is_some()) {
        ("", _) => return Ok(()),
        ("DirectoryOrCreate", false) => {
            fs::create_dir_all(path).and_then(|()| set_mode(Path::new(path), 0o755))
        }
        ("FileOrCreate", false) => {
            let made = File::options().create_new(true).write(true).open(path);
            made.and_then(|_| set_mode(Path::new(path), 0o644))
        }
        _ => {
            let is = |test: fn(&fs::FileType) -> bool| there.as_ref().is_some_and(test);
            let (right, what) = match ty {
                "Directory" | "DirectoryOrCreate" => (is(fs::FileType::is_dir), "a directory"),
                "File" | "FileOrCreate" => (is(fs::FileType::is_file), "a file"),
                "Socket" => (is(fs::FileType::is_socket), "a socket file"),
                "CharDevice" => (is(fs::FileType::is_char_device), "a character device"),
                "BlockDevice" => (is(fs::FileType::is_block_device), "a block device"),
                other => return Err(format!("{other} is an invalid volume type")),
            };
            return right
                .then_some(())
                .ok_or_else(|| format!("hostPath type check failed: {path} is not {what}"));
        }
    };
    made.map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_must_be_there_or_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        assert_eq!(check(&path("none"), ""), Ok(()));
        assert_eq!(check(&path("d/e"), "DirectoryOrCreate"), Ok(()));
        assert_eq!(check(&path("d/e"), "Directory"), Ok(()));
        assert_eq!(check(&path("f"), "FileOrCreate"), Ok(()));
        assert_eq!(check(&path("f"), "File"), Ok(()));
        assert_eq!(check("/dev/null", "CharDevice"), Ok(()));
        let _socket = std::os::unix::net::UnixListener::bind(path("s")).unwrap();
        assert_eq!(check(&path("s"), "Socket"), Ok(()));
        for (name, ty, what) in [
            ("f", "Directory", "a directory"),
            ("f", "DirectoryOrCreate", "a directory"),
            ("d", "File", "a file"),
            ("none", "Socket", "a socket file"),
            ("f", "CharDevice", "a character device"),
            ("f", "BlockDevice", "a block device"),
        ] {
            let wanted = format!("hostPath type check failed: {} is not {what}", path(name));
            assert_eq!(check(&path(name), ty), Err(wanted));
        }
        assert!(check("/a/../b", "").unwrap_err().starts_with("invalid HostPath"));
    }
}
