//! Names a resource, and makes its paths.

/// Group, version and plural, and whether its objects live in namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub plural: String,
    pub namespaced: bool,
}

impl Resource {
    /// A namespaced resource; group "" is core.
    pub fn namespaced(group: &str, version: &str, plural: &str) -> Self {
        Resource { group: group.into(), version: version.into(), plural: plural.into(), namespaced: true }
    }

    /// A resource of the cluster.
    pub fn cluster(group: &str, version: &str, plural: &str) -> Self {
        Resource { namespaced: false, ..Resource::namespaced(group, version, plural) }
    }

    /// The collection in a namespace; "" for all namespaces, or for a resource of the cluster.
    pub fn collection(&self, namespace: &str) -> String {
        let root = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        match namespace {
            ns if self.namespaced && !ns.is_empty() => format!("{root}/namespaces/{ns}/{}", self.plural),
            _ => format!("{root}/{}", self.plural),
        }
    }

    /// One object.
    pub fn object(&self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.collection(namespace))
    }

    /// `apps/v1`, `v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_upstreams() {
        let deployments = Resource::namespaced("apps", "v1", "deployments");
        assert_eq!(deployments.object("a", "web"), "/apis/apps/v1/namespaces/a/deployments/web");
        assert_eq!(deployments.collection(""), "/apis/apps/v1/deployments");
        assert_eq!(Resource::cluster("", "v1", "namespaces").object("", "a"), "/api/v1/namespaces/a");
    }
}
