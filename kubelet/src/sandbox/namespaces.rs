//! Which namespaces a pod shares with its node or among its containers, and which runtime runs it.

use super::CREATE_POD_SANDBOX;
use crate::container::{Context, Wait};
use crate::cri::{NamespaceMode, NamespaceOption};
use crate::resources;
use api::Value;

/// The namespaces of a pod's sandbox and containers.
///
/// # Errors
/// When the pod wants a user namespace (`hostUsers: false`): containerd's API tells no runtime that has them.
pub fn options(pod: &Value) -> Result<NamespaceOption, String> {
    if pod.at(&["spec", "hostUsers"]).and_then(Value::as_bool) == Some(false) {
        let runtime = match pod.str_at(&["spec", "runtimeClassName"]) {
            "" => "runtime".to_owned(),
            class => format!("RuntimeClass handler {class:?}"),
        };
        return Err(format!("can't set `spec.hostUsers: false`, {runtime} does not support user namespaces"));
    }
    let of_node = |field, otherwise| match pod.bool_at(&["spec", field]) {
        true => NamespaceMode::Node,
        false => otherwise,
    };
    let of_processes = match pod.bool_at(&["spec", "shareProcessNamespace"]) {
        true => NamespaceMode::Pod,
        false => NamespaceMode::Container,
    };
    Ok(NamespaceOption {
        network: of_node("hostNetwork", NamespaceMode::Pod).into(),
        ipc: of_node("hostIPC", NamespaceMode::Pod).into(),
        pid: of_node("hostPID", of_processes).into(),
        target_id: String::new(),
        userns_options: None,
    })
}

/// The handler of the pod's RuntimeClass, "" for the default.
///
/// # Errors
/// When the class is not there, or cannot be asked for.
pub async fn runtime_handler(ctx: &Context, pod: &Value) -> Result<String, Wait> {
    let class = pod.str_at(&["spec", "runtimeClassName"]);
    if class.is_empty() {
        return Ok(String::new());
    }
    let fail = |why: client::Error| {
        let message = match why.is_not_found() {
            true => format!("runtimeclass.node.k8s.io {class:?} not found"),
            false => format!("failed to lookup RuntimeClass {class}: {why}"),
        };
        Wait::new(CREATE_POD_SANDBOX, message)
    };
    let found = ctx.client.get(&resources::runtime_classes(), "", class).await.map_err(fail)?;
    Ok(found.str_at(&["handler"]).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn namespaces_are_the_pods_unless_it_asks_for_the_nodes() {
        let options = |spec| super::options(&tree!({"spec": (spec)})).unwrap();
        let own = options(tree!({}));
        assert_eq!(
            (own.network(), own.ipc(), own.pid()),
            (NamespaceMode::Pod, NamespaceMode::Pod, NamespaceMode::Container)
        );
        let shared = options(tree!({"shareProcessNamespace": true}));
        assert_eq!(shared.pid(), NamespaceMode::Pod);
        let node = options(
            tree!({"hostNetwork": true, "hostIPC": true, "hostPID": true, "shareProcessNamespace": false}),
        );
        assert_eq!(
            (node.network(), node.ipc(), node.pid()),
            (NamespaceMode::Node, NamespaceMode::Node, NamespaceMode::Node)
        );
    }

    #[test]
    fn a_user_namespace_is_refused_in_upstreams_words() {
        let pod = tree!({"spec": {"hostUsers": false}});
        let refused = "can't set `spec.hostUsers: false`, runtime does not support user namespaces";
        assert_eq!(options(&pod).unwrap_err(), refused);
    }
}
