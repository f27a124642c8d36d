//! What never changes about a kind: names, versions, scope, verbs, subresources, columns.

use api::Str;

/// The facts of a kind that routes, discovery and the corridor are computed from.
#[derive(Clone, Debug)]
pub struct Info {
    /// API group, "" for core.
    pub group: Str,
    pub kind: Str,
    /// Resource name in URLs: `pods`.
    pub plural: Str,
    pub singular: Str,
    pub list_kind: Str,
    pub short_names: Vec<Str>,
    pub categories: Vec<Str>,
    pub namespaced: bool,
    /// Served versions, preferred first.
    pub versions: Vec<Str>,
    /// The version that objects are stored in: a served one, or `core/v1` for a kind of another group that shares its
    /// objects with a kind of the core group (`events.k8s.io`). `Kind::convert` then gets this name.
    pub storage_version: Str,
    /// The store's prefix with slashes at both ends: `/registry/pods/`.
    pub prefix: Str,
    pub verbs: Verbs,
    pub subresources: Vec<Subresource>,
    pub name_rule: NameRule,
    /// PUT works without `metadata.resourceVersion`.
    pub unconditional_update: bool,
    /// PUT to a missing name creates (201).
    pub create_on_update: bool,
    /// DELETE answers with the deleted object instead of a Status.
    pub delete_returns_object: bool,
    /// `metadata.generation` is 1 at create and grows with every change outside metadata and status.
    pub generation: bool,
    /// Objects live this long, for kinds with a lifetime (events); seconds.
    pub ttl_secs: Option<u64>,
}

/// Which verbs a resource has. Kinds that are commands only have `create`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verbs(u16);

impl Verbs {
    pub const CREATE: Verbs = Verbs(1);
    pub const DELETE: Verbs = Verbs(1 << 1);
    pub const DELETE_COLLECTION: Verbs = Verbs(1 << 2);
    pub const GET: Verbs = Verbs(1 << 3);
    pub const LIST: Verbs = Verbs(1 << 4);
    pub const PATCH: Verbs = Verbs(1 << 5);
    pub const UPDATE: Verbs = Verbs(1 << 6);
    pub const WATCH: Verbs = Verbs(1 << 7);
    pub const NONE: Verbs = Verbs(0);
    pub const ALL: Verbs = Verbs(0xff);
    /// What a lens has: get, patch, update.
    pub const LENS: Verbs = Verbs(1 << 3 | 1 << 5 | 1 << 6);

    pub const fn and(self, other: Verbs) -> Verbs {
        Verbs(self.0 | other.0)
    }

    pub const fn without(self, other: Verbs) -> Verbs {
        Verbs(self.0 & !other.0)
    }

    pub const fn has(self, other: Verbs) -> bool {
        self.0 & other.0 == other.0
    }

    /// Names in discovery's (alphabetical) order.
    pub fn names(self) -> Vec<&'static str> {
        const NAMES: [&str; 8] =
            ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
        NAMES.iter().enumerate().filter(|(i, _)| self.0 & (1 << i) != 0).map(|(_, n)| *n).collect()
    }
}

/// A subresource: `pods/status`, `deployments/scale`, `pods/exec`.
#[derive(Clone, Debug)]
pub struct Subresource {
    pub name: Str,
    /// Group, version and kind of what goes in and out; for most the parent's (group and version "" mean the parent's).
    pub group: Str,
    pub version: Str,
    pub kind: Str,
    pub verbs: Verbs,
    pub form: Form,
}

/// The three shapes of a subresource.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// Reads and writes a part of the object through the corridor; the body has the parent's kind.
    /// `Kind::prepare_lens` says what of the body counts.
    Lens,
    /// Reads and writes replicas as an `autoscaling/v1 Scale`.
    Scale(ScalePaths),
    /// An input and an answer (bindings, eviction, token, the reviews).
    Command,
    /// After the permit the server is a pipe (log, exec, attach, portforward, proxy).
    Stream,
}

/// Where Scale finds its numbers in the parent.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalePaths {
    pub spec_replicas: Vec<Str>,
    pub status_replicas: Vec<Str>,
    /// A label selector as text or as a LabelSelector; empty when there is none.
    pub selector: Vec<Str>,
}

/// Which names an object of the kind may have. Texts are upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    Dns1123Subdomain,
    Dns1123Label,
    Dns1035Label,
    /// Anything that can be one segment of a path (RBAC).
    PathSegment,
    /// Not checked here: the kind's `validate` does.
    Own,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: Str,
    /// `string`, `integer`, `number`, `boolean`, `date`.
    pub ty: Str,
    /// `name` for the first column, else "".
    pub format: Str,
    /// 0 always shown; 1 with `-o wide`.
    pub priority: i32,
    pub doc: Doc,
}

/// Where a column's description comes from.
#[derive(Clone, Debug)]
pub enum Doc {
    /// The documentation of a field in the API: OpenAPI definition name, field name.
    Field(&'static str, &'static str),
    Text(Str),
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

impl Column {
    pub fn new(name: &str, ty: &str, doc: Doc) -> Self {
        Column { name: name.into(), ty: ty.into(), format: "".into(), priority: 0, doc }
    }

    /// `Name`, the first column of nearly every table.
    pub fn name() -> Self {
        Column { format: "name".into(), ..Column::new("Name", "string", Doc::Field(META, "name")) }
    }

    /// `Age`.
    pub fn age() -> Self {
        Column::new("Age", "string", Doc::Field(META, "creationTimestamp"))
    }

    /// A column described by a field of the API.
    pub fn field(name: &str, ty: &str, definition: &'static str, field: &'static str) -> Self {
        Column::new(name, ty, Doc::Field(definition, field))
    }

    /// A column with a description of its own.
    pub fn text(name: &str, ty: &str, doc: &str) -> Self {
        Column::new(name, ty, Doc::Text(doc.into()))
    }

    /// Shown with `-o wide` only.
    pub fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }
}

impl Info {
    /// A namespaced kind of group "" or `GROUP` with all verbs, served and stored as `version`; adjust with the
    /// methods below. The prefix is upstream's default `/registry/<plural>/`.
    pub fn new(group: &str, version: &str, kind: &str, plural: &str) -> Self {
        Info {
            group: group.into(),
            kind: kind.into(),
            plural: plural.into(),
            singular: kind.to_lowercase().into(),
            list_kind: format!("{kind}List").into(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: true,
            versions: vec![version.into()],
            storage_version: version.into(),
            prefix: format!("/registry/{plural}/").into(),
            verbs: Verbs::ALL,
            subresources: Vec::new(),
            name_rule: NameRule::Dns1123Subdomain,
            unconditional_update: true,
            create_on_update: false,
            delete_returns_object: false,
            generation: false,
            ttl_secs: None,
        }
    }

    pub fn cluster_scoped(mut self) -> Self {
        self.namespaced = false;
        self
    }

    pub fn short(mut self, names: &[&str]) -> Self {
        self.short_names = names.iter().map(|n| Str::from(*n)).collect();
        self
    }

    pub fn categories(mut self, names: &[&str]) -> Self {
        self.categories = names.iter().map(|n| Str::from(*n)).collect();
        self
    }

    /// Served versions, preferred first, and the one that is stored.
    pub fn versions(mut self, served: &[&str], stored: &str) -> Self {
        self.versions = served.iter().map(|v| Str::from(*v)).collect();
        self.storage_version = stored.into();
        self
    }

    /// The store's prefix below `/registry/`, where it is not the plural (`services/specs`).
    pub fn prefix(mut self, below: &str) -> Self {
        self.prefix = format!("/registry/{below}/").into();
        self
    }

    pub fn verbs(mut self, verbs: Verbs) -> Self {
        self.verbs = verbs;
        self
    }

    pub fn names(mut self, rule: NameRule) -> Self {
        self.name_rule = rule;
        self
    }

    /// `metadata.generation` is kept for this kind.
    pub fn with_generation(mut self) -> Self {
        self.generation = true;
        self
    }

    /// DELETE answers with the object.
    pub fn returns_deleted(mut self) -> Self {
        self.delete_returns_object = true;
        self
    }

    /// PUT needs `metadata.resourceVersion`.
    pub fn conditional_update(mut self) -> Self {
        self.unconditional_update = false;
        self
    }

    /// PUT to a missing name creates.
    pub fn creates_on_update(mut self) -> Self {
        self.create_on_update = true;
        self
    }

    /// A lens with get, patch and update whose body has the parent's kind.
    pub fn lens(self, name: &str) -> Self {
        let kind = self.kind.clone();
        self.subresource(name, "", "", &kind, Verbs::LENS, Form::Lens)
    }

    /// The `status` lens.
    pub fn with_status(self) -> Self {
        self.lens("status")
    }

    /// `scale` as `autoscaling/v1 Scale`, paths dotted, selector "" when none.
    pub fn with_scale(self, spec_replicas: &str, status_replicas: &str, selector: &str) -> Self {
        let split = |p: &str| p.split('.').filter(|s| !s.is_empty()).map(Str::from).collect();
        let paths = ScalePaths {
            spec_replicas: split(spec_replicas),
            status_replicas: split(status_replicas),
            selector: split(selector),
        };
        self.subresource("scale", "autoscaling", "v1", "Scale", Verbs::LENS, Form::Scale(paths))
    }

    pub fn subresource(
        mut self,
        name: &str,
        group: &str,
        version: &str,
        kind: &str,
        verbs: Verbs,
        form: Form,
    ) -> Self {
        self.subresources.push(Subresource {
            name: name.into(),
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            verbs,
            form,
        });
        self
    }

    /// `apps/v1`, or `v1` for the core group. A version that names the core group (`core/v1`), as of kinds that are
    /// stored as a kind of that group, gives `v1`.
    pub fn api_version(&self, version: &str) -> String {
        match version.strip_prefix("core/") {
            Some(version) => version.to_owned(),
            None if self.group.is_empty() => version.to_owned(),
            None => format!("{}/{version}", self.group),
        }
    }

    /// The group of the stored form, which upstream's errors name (faults, conflicts, missing objects).
    pub fn storage_group(&self) -> &str {
        if self.storage_version.starts_with("core/") { "" } else { &self.group }
    }

    pub fn find_subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }
}
