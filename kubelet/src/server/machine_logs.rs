//! `/logs/`: the files of the machine's log folder, as Go's file server shows them.

use super::Server;
use super::reply::{self, Reply};
use http::{HeaderValue, StatusCode, header};
use std::path::{Component, Path, PathBuf};
use tokio::io::AsyncReadExt;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// `rest` is what follows `/logs/`; `path` is all of it, without the query.
pub async fn serve(server: &Server, rest: &str, path: &str) -> Reply {
    let Some(place) = inside(&server.parts.machine_logs, rest) else { return missing() };
    let Ok(found) = tokio::fs::metadata(&place).await else { return missing() };
    match (found.is_dir(), path.ends_with('/')) {
        (true, false) => moved(&format!("{}/", path.rsplit('/').next().unwrap_or_default())),
        (false, true) => {
            moved(&format!("../{}", path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()))
        }
        (true, true) => folder(place).await,
        (false, false) => file(place).await,
    }
}

/// A place below the folder; nothing that climbs out of it.
fn inside(root: &Path, rest: &str) -> Option<PathBuf> {
    let below = Path::new(rest.trim_matches('/'));
    let plain = below.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    plain.then(|| root.join(below))
}

fn missing() -> Reply {
    reply::error(StatusCode::NOT_FOUND, "404 page not found")
}

fn moved(to: &str) -> Reply {
    let mut moved = reply::of(StatusCode::MOVED_PERMANENTLY, "", reply::whole(""));
    if let Ok(to) = HeaderValue::from_str(to) {
        moved.headers_mut().insert(header::LOCATION, to);
    }
    moved
}

async fn folder(place: PathBuf) -> Reply {
    let Ok(mut entries) = tokio::fs::read_dir(&place).await else { return missing() };
    let mut names = Vec::new();
    while let Ok(Some(entry)) = entries.next_entry().await {
        let is_folder = entry.file_type().await.is_ok_and(|ty| ty.is_dir());
        let slash = if is_folder { "/" } else { "" };
        names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    let escape = |name: &str| {
        name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;")
    };
    let mut page =
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n".to_owned();
    for name in &names {
        let link = name.replace('%', "%25").replace('?', "%3F").replace('#', "%23").replace(' ', "%20");
        page.push_str(&format!("<a href=\"{}\">{}</a>\n", escape(&link), escape(name)));
    }
    page.push_str("</pre>\n");
    reply::of(StatusCode::OK, "text/html; charset=utf-8", reply::whole(page))
}

async fn file(place: PathBuf) -> Reply {
    let Ok(file) = tokio::fs::File::open(&place).await else { return missing() };
    let pieces = futures::stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; PIECE_BYTES];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then(|| (bytes::Bytes::from(piece), file)))
    });
    reply::of(StatusCode::OK, "text/plain; charset=utf-8", reply::stream(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let root = Path::new("/var/log");
        assert_eq!(inside(root, "a/b/"), Some("/var/log/a/b".into()));
        assert_eq!(inside(root, ""), Some("/var/log/".into()));
        for out in ["../etc/passwd", "a/../../etc", ".."] {
            assert_eq!(inside(root, out), None, "{out}");
        }
    }
}
