//! Images that nobody uses go when the disk that holds them fills up: from 85 % on until 80 % are
//! reached, unless told otherwise; those that were used longest ago first. Pinned ones and that of sandboxes stay.

use super::Images;
use crate::cri;
use crate::node::Disk;
use crate::runtime;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use stdx::Time;

/// A new image may have been pulled for a container that starts next.
const YOUNG: Duration = Duration::from_secs(120);

/// What is remembered of images from one look to the next.
#[derive(Default)]
pub struct GarbageCollector {
    seen: Mutex<HashMap<String, Seen>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    first: Time,
    used: Option<Time>,
}

/// An image that may go.
#[derive(Debug, PartialEq, Eq)]
struct Unused {
    id: String,
    size: u64,
    seen: Seen,
}

impl GarbageCollector {
    /// One look at images and disk. `kept` are names of images that stay, such as that of sandboxes.
    ///
    /// # Errors
    /// When too little could be freed: the message that belongs on the node's event.
    pub async fn collect(&self, images: &Images, disk: &Disk, kept: &[String]) -> Result<(), String> {
        let unused = self.unused(images, kept).await?;
        let used = disk.used_percent();
        let bounds = images.settings.image_gc;
        if bounds.high >= 100 || used < bounds.high.into() {
            return Ok(());
        }
        let wanted =
            (disk.usable() / 100 * (100 - u64::from(bounds.low.min(100)))).saturating_sub(disk.available);
        tracing::info!(used, wanted, "the disk of images is full: unused images are removed");
        let freed = self.free(images, unused, wanted).await?;
        if freed >= wanted {
            return Ok(());
        }
        Err(format!(
            "Insufficient free disk space on the node's image filesystem ({used}% of {} used). Failed to free \
             sufficient space by deleting unused images (freed {freed} bytes). Investigate disk usage, as it could \
             be used by active images, logs, volumes, or other data.",
            size_text(disk.capacity)
        ))
    }

    /// Removes all images that nobody uses; gives back how many bytes they had.
    ///
    /// # Errors
    /// When the runtime refuses.
    pub async fn remove_unused(&self, images: &Images, kept: &[String]) -> Result<u64, String> {
        let unused = self.unused(images, kept).await?;
        self.free(images, unused, u64::MAX).await
    }

    async fn unused(&self, images: &Images, kept: &[String]) -> Result<Vec<Unused>, String> {
        let told = |status: tonic::Status| runtime::words(&status);
        let all = images.list().await.map_err(told)?;
        let request = cri::ListContainersRequest { filter: None };
        let containers = images.runtime.containers().list_containers(request).await.map_err(told)?;
        let mut used = in_use(&containers.into_inner().containers);
        used.extend(images.runtime.viewed_images().await.map_err(told)?);
        images.records.forget(|id| all.iter().any(|image| image.id == id));
        Ok(self.note(all, &used, kept, images.settings.clock.now()))
    }

    /// Remembers what is there and used; gives back what is not, in the order in which it goes.
    fn note(&self, all: Vec<cri::Image>, used: &HashSet<String>, kept: &[String], now: Time) -> Vec<Unused> {
        let mut seen = self.seen.lock();
        seen.retain(|id, _| all.iter().any(|image| image.id == *id));
        let mut unused = Vec::new();
        for image in all {
            let entry = seen.entry(image.id.clone()).or_insert(Seen { first: now, used: None });
            let named = image.repo_tags.iter().chain(&image.repo_digests);
            if used.contains(&image.id) || named.clone().any(|name| used.contains(name)) {
                entry.used = Some(now);
            } else if !image.pinned && !named.clone().any(|name| kept.contains(name)) {
                unused.push(Unused { id: image.id, size: image.size, seen: *entry });
            }
        }
        unused.sort_by_key(|image| (image.seen.used, image.seen.first));
        unused
    }

    async fn free(&self, images: &Images, unused: Vec<Unused>, wanted: u64) -> Result<u64, String> {
        let now = images.settings.clock.now();
        let (mut freed, mut errors) = (0, Vec::new());
        for image in unused.into_iter().filter(|image| now.since(image.seen.first) >= YOUNG) {
            if freed >= wanted {
                break;
            }
            let spec = Some(cri::ImageSpec { image: image.id.clone(), ..Default::default() });
            match images.runtime.images().remove_image(cri::RemoveImageRequest { image: spec }).await {
                Ok(_) => {
                    freed += image.size;
                    self.seen.lock().remove(&image.id);
                }
                Err(status) => errors.push(runtime::words(&status)),
            }
        }
        match errors.is_empty() {
            true => Ok(freed),
            false => Err(format!(
                "wanted to free {wanted} bytes, but freed {freed} bytes space with errors in image deletion: {}",
                errors.join(", ")
            )),
        }
    }
}

fn in_use(containers: &[cri::Container]) -> HashSet<String> {
    let names = |container: &cri::Container| {
        let asked = container.image.as_ref().map(|image| image.image.clone());
        [Some(container.image_ref.clone()), Some(container.image_id.clone()), asked]
    };
    containers.iter().flat_map(names).flatten().filter(|name| !name.is_empty()).collect()
}

/// `1.5 GiB`.
fn size_text(bytes: u64) -> String {
    let (mut size, mut unit) = (bytes as f64, 0);
    while size >= 1024.0 && unit < 4 {
        size /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{size:.1} {}", ["B", "KiB", "MiB", "GiB", "TiB"][unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, pinned: bool) -> cri::Image {
        cri::Image {
            id: id.into(),
            repo_tags: vec![format!("{id}:1")],
            size: 10,
            pinned,
            ..Default::default()
        }
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_pinned_ones_stay() {
        let collector = GarbageCollector::default();
        let all = || {
            vec![image("a", false), image("b", false), image("c", true), image("d", false), image("p", false)]
        };
        let ids = |unused: Vec<Unused>| unused.into_iter().map(|image| image.id).collect::<Vec<_>>();
        let kept = ["p:1".to_owned()];
        let used = HashSet::from(["a".to_owned(), "b:1".to_owned()]);
        assert_eq!(ids(collector.note(all(), &used, &kept, Time::from_secs(1))), ["d"]);
        let used = HashSet::from(["b".to_owned()]);
        assert_eq!(ids(collector.note(all(), &used, &kept, Time::from_secs(2))), ["d", "a"]);
        assert_eq!(ids(collector.note(all(), &HashSet::new(), &kept, Time::from_secs(3))), ["d", "a", "b"]);
    }

    #[test]
    fn sizes_read_as_upstreams() {
        assert_eq!([500, 1536, 3 << 30].map(size_text), ["500 B", "1.5 KiB", "3.0 GiB"]);
    }
}
