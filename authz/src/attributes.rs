//! What is asked for, as authorization sees it.

use api::selector::{FieldSelector, LabelSelector};
use api::{Status, Str, quote};

/// Upstream's `authorizer.Attributes` without the user. A request is for a resource or for a bare path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `get`, `list`, `deletecollection`, …; for a bare path the HTTP method in small letters.
    pub verb: Str,
    pub group: Str,
    pub version: Str,
    /// The plural; empty for a bare path.
    pub resource: Str,
    pub subresource: Str,
    /// Empty at the cluster scope.
    pub namespace: Str,
    /// Empty when the request names no object.
    pub name: Str,
    /// The path of the URL; rules look at it only when no resource is asked for.
    pub path: Str,
    /// Whether the address is that of a resource, even if its name is empty.
    pub is_resource: bool,
    /// What a list, a watch or the deletion of a collection is limited to; everything where it cannot be read.
    pub fields: FieldSelector,
    pub labels: LabelSelector,
}

impl Attributes {
    /// A request for a resource at the cluster scope; set the other fields as needed.
    pub fn resource(verb: &str, group: &str, version: &str, resource: &str) -> Self {
        Attributes {
            verb: verb.into(),
            group: group.into(),
            version: version.into(),
            resource: resource.into(),
            is_resource: true,
            ..Attributes::default()
        }
    }

    /// A request for a bare path.
    pub fn path(verb: &str, path: &str) -> Self {
        Attributes { verb: verb.into(), path: path.into(), ..Attributes::default() }
    }

    /// What the refusal says about `user` and this request, with what would read as HTML made harmless.
    fn refusal(&self, user: &str) -> String {
        let (user, verb) = (quote(user), &self.verb);
        let text = if self.is_resource {
            let resource = if self.subresource.is_empty() {
                quote(&self.resource)
            } else {
                quote(&format!("{}/{}", self.resource, self.subresource))
            };
            let place = if self.namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {}", quote(&self.namespace))
            };
            format!(
                "User {user} cannot {verb} resource {resource} in API group {} {place}",
                quote(&self.group)
            )
        } else {
            format!("User {user} cannot {verb} path {}", quote(&self.path))
        };
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    }

    /// The 403 for `user`; `reason` is appended when there is one.
    pub fn forbidden(&self, user: &str, reason: &str) -> Status {
        let mut why = self.refusal(user);
        if !reason.is_empty() {
            why = format!("{why}: {reason}");
        }
        Status::forbidden(&self.group, &self.resource, &self.name, &why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(attributes: &Attributes, reason: &str) -> String {
        attributes.forbidden("x", reason).message
    }

    #[test]
    fn refusals_read_as_upstreams() {
        let mut asked = Attributes::resource("list", "", "v1", "pods");
        assert_eq!(
            text(&asked, ""),
            r#"pods is forbidden: User "x" cannot list resource "pods" in API group "" at the cluster scope"#
        );
        asked.namespace = "default".into();
        asked.name = "a".into();
        asked.verb = "get".into();
        assert_eq!(
            text(&asked, "can only read resources of this type"),
            r#"pods "a" is forbidden: User "x" cannot get resource "pods" in API group "" in the namespace "default": can only read resources of this type"#
        );
        let mut scale = Attributes::resource("update", "apps", "v1", "deployments");
        scale.subresource = "scale".into();
        assert_eq!(
            text(&scale, ""),
            r#"deployments.apps is forbidden: User "x" cannot update resource "deployments/scale" in API group "apps" at the cluster scope"#
        );
        assert_eq!(
            text(&Attributes::path("get", "/foo"), ""),
            r#"forbidden: User "x" cannot get path "/foo""#
        );
    }

    #[test]
    fn refusals_carry_details_and_no_html() {
        let status = Attributes::path("get", "/<b>&").forbidden("a\"<i>", "");
        assert_eq!(status.message, r#"forbidden: User "a\"&lt;i&gt;" cannot get path "/&lt;b&gt;&amp;""#);
        assert_eq!((status.code, status.reason), (403, "Forbidden"));
        assert_eq!(status.details, Some(Box::default()));
        let mut asked = Attributes::resource("get", "apps", "v1", "deployments");
        asked.name = "web".into();
        let details = asked.forbidden("x", "").details.unwrap();
        assert_eq!((&*details.group, &*details.kind, &*details.name), ("apps", "deployments", "web"));
    }
}
