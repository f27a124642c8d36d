//! What a request asks for, in the words of authorization: a subresource of the node. Some paths are open to those who
//! hold a narrow right, or else the wide one, `nodes/proxy`. Source: upstream's `pkg/kubelet/server/auth.go`.

use authz::Attributes;
use http::Method;

/// The rights of which one is enough, the narrow one first.
pub fn attributes(node: &str, method: &Method, path: &str) -> Vec<Attributes> {
    let verb = match method.as_str() {
        "POST" => "create",
        "GET" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    };
    let below =
        |root: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    let narrow = match () {
        () if below("/pods") || below("/runningpods") => Some("pods"),
        () if below("/healthz") => Some("healthz"),
        () if below("/configz") => Some("configz"),
        () => None,
    };
    let wide = match () {
        () if below("/stats") => "stats",
        () if below("/metrics") => "metrics",
        () if below("/logs") => "log",
        () if below("/checkpoint") => "checkpoint",
        () if below("/statusz") => "statusz",
        () if below("/flagz") => "configz",
        () => "proxy",
    };
    let asked = |subresource: &str| {
        let mut asked = Attributes::resource(verb, "", "v1", "nodes");
        (asked.subresource, asked.name, asked.path) = (subresource.into(), node.into(), path.into());
        asked
    };
    narrow.into_iter().chain([wide]).map(asked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_ask_for_upstreams_subresources() {
        for (method, path, verb, subresources) in [
            (Method::GET, "/pods", "get", &["pods", "proxy"][..]),
            (Method::GET, "/runningpods/", "get", &["pods", "proxy"]),
            (Method::GET, "/healthz/ping", "get", &["healthz", "proxy"]),
            (Method::GET, "/configz", "get", &["configz", "proxy"]),
            (Method::GET, "/stats/summary", "get", &["stats"]),
            (Method::GET, "/metrics/resource", "get", &["metrics"]),
            (Method::GET, "/metricsz", "get", &["proxy"]),
            (Method::PUT, "/logs/", "update", &["log"]),
            (Method::POST, "/exec/ns/p/c", "create", &["proxy"]),
            (Method::GET, "/containerLogs/ns/p/c", "get", &["proxy"]),
            (Method::HEAD, "/pods", "", &["pods", "proxy"]),
        ] {
            let asked = attributes("n", &method, path);
            let found: Vec<&str> = asked.iter().map(|asked| asked.subresource.as_str()).collect();
            assert_eq!((asked[0].verb.as_str(), found.as_slice()), (verb, subresources), "{path}");
            assert_eq!((asked[0].name.as_str(), asked[0].resource.as_str()), ("n", "nodes"));
        }
    }
}
