//! The paths that belong to no kind: discovery, version, and what verifiers of tokens read.

use super::name::{tag, title};
use super::operation::{Item, Operation, Payload};
use super::parameter::meta;
use super::path::root;

const OBJECTS: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

fn item(path: &str, id: &str, tag: &str, text: &str, definition: &str) -> Item {
    let operation = Operation {
        method: "get",
        id: id.to_owned(),
        description: text.to_owned(),
        tag: tag.to_owned(),
        consumes: OBJECTS.to_vec(),
        produces: OBJECTS.to_vec(),
        responses: vec![("200", "OK", Payload::Object(definition.to_owned()))],
        ..Operation::default()
    };
    Item::new(path.to_owned(), vec![operation])
}

/// `/api/`.
pub fn core_versions() -> Item {
    item("/api/", "getCoreAPIVersions", "core", "get available API versions", &meta("APIVersions"))
}

/// `/apis/`.
pub fn group_list() -> Item {
    item("/apis/", "getAPIVersions", "apis", "get available API versions", &meta("APIGroupList"))
}

/// `/apis/G/`.
pub fn group(name: &str) -> Item {
    let id = format!("get{}APIGroup", title(name, ""));
    item(&format!("/apis/{name}/"), &id, &tag(name, ""), "get information of a group", &meta("APIGroup"))
}

/// `/apis/G/V/` and `/api/v1/`.
pub fn resources(group: &str, version: &str) -> Item {
    let id = format!("get{}APIResources", title(group, version));
    let path = format!("{}/", root(group, version));
    item(&path, &id, &tag(group, version), "get available resources", &meta("APIResourceList"))
}

/// `/version/`.
pub fn version() -> Item {
    let text = "get the version information for this server";
    let mut item =
        item("/version/", "getCodeVersion", "version", text, "io.k8s.apimachinery.pkg.version.Info");
    for operation in &mut item.operations {
        operation.consumes = vec!["application/json"];
        operation.produces = vec!["application/json"];
    }
    item
}

/// `/openid/v1/jwks/`.
pub fn key_set() -> Item {
    let text = "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)";
    let id = "getServiceAccountIssuerOpenIDKeyset";
    plain("/openid/v1/jwks/", id, "openid", text, "application/jwk-set+json")
}

/// `/.well-known/openid-configuration/`.
pub fn issuer() -> Item {
    let text = "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'";
    let id = "getServiceAccountIssuerOpenIDConfiguration";
    plain("/.well-known/openid-configuration/", id, "WellKnown", text, "application/json")
}

fn plain(path: &str, id: &str, tag: &str, text: &str, produces: &'static str) -> Item {
    let mut item = item(path, id, tag, text, "");
    for operation in &mut item.operations {
        operation.consumes = Vec::new();
        operation.produces = vec![produces];
        operation.responses = vec![("200", "OK", Payload::Text)];
    }
    item
}
