//! A disk that a pod names itself, of the kinds that a node cannot have twice.

use api::{Str, Value};

/// See the head of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disk {
    Gce { name: Str, read_only: bool },
    Aws { id: Str },
    Iscsi { iqn: Str, read_only: bool },
    Rbd { monitors: Vec<Str>, pool: Str, image: Str, read_only: bool },
}

impl Disk {
    pub fn of(volume: &Value) -> Option<Self> {
        let source = |name: &str| volume.get(name).filter(|source| !source.is_null());
        let text = |source: &Value, field: &str| source.str_at(&[field]).into();
        let read_only = |source: &Value| source.bool_at(&["readOnly"]);
        if let Some(gce) = source("gcePersistentDisk") {
            return Some(Disk::Gce { name: text(gce, "pdName"), read_only: read_only(gce) });
        }
        if let Some(aws) = source("awsElasticBlockStore") {
            return Some(Disk::Aws { id: text(aws, "volumeID") });
        }
        if let Some(iscsi) = source("iscsi") {
            return Some(Disk::Iscsi { iqn: text(iscsi, "iqn"), read_only: read_only(iscsi) });
        }
        let rbd = source("rbd")?;
        Some(Disk::Rbd {
            monitors: rbd.list_at(&["monitors"]).iter().filter_map(Value::as_str).map(Into::into).collect(),
            pool: text(rbd, "pool"),
            image: text(rbd, "image"),
            read_only: read_only(rbd),
        })
    }

    /// Whether the two are the same disk and cannot both be used.
    pub fn conflicts(&self, other: &Disk) -> bool {
        match (self, other) {
            (Disk::Gce { name, read_only }, Disk::Gce { name: taken, read_only: both }) => {
                name == taken && !(*read_only && *both)
            }
            (Disk::Aws { id }, Disk::Aws { id: taken }) => id == taken,
            (Disk::Iscsi { iqn, read_only }, Disk::Iscsi { iqn: taken, read_only: both }) => {
                iqn == taken && !(*read_only && *both)
            }
            (
                Disk::Rbd { monitors, pool, image, read_only },
                Disk::Rbd { monitors: theirs, pool: their_pool, image: their_image, read_only: both },
            ) => {
                monitors.iter().any(|monitor| theirs.contains(monitor))
                    && pool == their_pool
                    && image == their_image
                    && !(*read_only && *both)
            }
            _ => false,
        }
    }
}
