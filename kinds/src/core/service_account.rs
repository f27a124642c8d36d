//! ServiceAccount: an identity for what runs in pods. Its tokens are made by the `token` command.

use super::pod_spec::each;
use crate::{Column, Cx, Form, Info, Kind, Verbs, print};
use api::{Value, tree};

const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

pub struct ServiceAccount(Info);

impl ServiceAccount {
    pub fn new() -> Self {
        let info = Info::new("", "v1", "ServiceAccount", "serviceaccounts").short(&["sa"]).returns_deleted();
        let group = "authentication.k8s.io";
        ServiceAccount(info.subresource("token", group, "v1", "TokenRequest", Verbs::CREATE, Form::Command))
    }
}

/// Of references to secrets only the name counts.
fn clean_references(account: &mut Value) {
    each(account, "secrets", |secret| {
        let name = secret.str_at(&["name"]).to_owned();
        *secret = if name.is_empty() { tree!({}) } else { tree!({"name": name}) };
    });
}

impl Kind for ServiceAccount {
    fn info(&self) -> &Info {
        &self.0
    }

    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        clean_references(obj);
    }

    fn prepare_update(&self, new: &mut Value, _old: &Value, _cx: &Cx<'_>) {
        clean_references(new);
    }

    fn warn(&self, new: &Value, old: Option<&Value>, _cx: &Cx<'_>) -> Vec<String> {
        let enforces = |obj: &Value| obj.at(&["metadata", "annotations", ENFORCE]).is_some();
        if !enforces(new) || old.is_some_and(enforces) {
            return Vec::new();
        }
        vec![format!(
            "metadata.annotations[{ENFORCE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to \
             mounted secrets"
        )]
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::name(), Column::age()]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        vec![print::name(obj), print::age(obj, now)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::cx;

    #[test]
    fn references_to_secrets_keep_their_names_only() {
        let mut account = tree!({"secrets": [{"name": "s", "namespace": "n", "kind": "Secret"}]});
        ServiceAccount::new().prepare_create(&mut account, &cx(""));
        assert_eq!(account, tree!({"secrets": [{"name": "s"}]}));
    }
}
