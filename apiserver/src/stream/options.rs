//! What a stream is asked for, as the object that admission sees: `PodExecOptions` and its siblings, from the query.

use crate::call::Call;
use api::{Value, tree};

/// The options object of a stream; nothing for those that are reads (`log`).
pub fn options(call: &Call) -> Option<Value> {
    let subresource = call.info().find_subresource(&call.target.subresource)?;
    let mut options = tree!({"kind": (subresource.kind.as_str()), "apiVersion": "v1"});
    match call.target.subresource.as_str() {
        "exec" | "attach" => {
            for field in ["stdin", "stdout", "stderr", "tty"] {
                if call.query.flag(field) {
                    options.set(&[field], true);
                }
            }
            if !call.query.text("container").is_empty() {
                options.set(&["container"], call.query.text("container"));
            }
            let command = call.query.all("command");
            if !command.is_empty() && call.target.subresource == "exec" {
                options.set(&["command"], list(command.iter().map(|c| Value::from(*c))));
            }
        }
        "portforward" => {
            let ports: Vec<Value> = ports(call).into_iter().map(Value::Int).collect();
            if !ports.is_empty() {
                options.set(&["ports"], Value::List(ports));
            }
        }
        "proxy" => {
            if !call.target.tail.is_empty() {
                options.set(&["path"], call.target.tail.as_str());
            }
        }
        _ => return None,
    }
    Some(options)
}

/// The ports that a port-forward names; newer clients name none here.
pub fn ports(call: &Call) -> Vec<i64> {
    let ports = call.query.all("ports");
    ports.iter().flat_map(|ports| ports.split(',')).filter_map(|port| port.parse().ok()).collect()
}

fn list(items: impl Iterator<Item = Value>) -> Value {
    Value::List(items.collect())
}
