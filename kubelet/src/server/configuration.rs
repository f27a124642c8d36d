//! What `/configz` shows: the settings in the words of upstream's KubeletConfiguration.

use crate::Settings;
use api::{Value, tree};

pub fn of(settings: &Settings) -> Value {
    let dns = settings.cluster_dns.iter().map(|ip| Value::from(ip.to_string())).collect();
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    tree!({
        "enableServer": true,
        "podLogsDir": (path(&settings.log_root)),
        "staticPodPath": (settings.static_pods.as_deref().map(path).unwrap_or_default()),
        "address": "0.0.0.0",
        "port": (i64::from(settings.port)),
        "authentication": {
            "x509": {}, "webhook": {"enabled": true, "cacheTTL": "2m0s"}, "anonymous": {"enabled": false}
        },
        "authorization": {
            "mode": "Webhook",
            "webhook": {"cacheAuthorizedTTL": "5m0s", "cacheUnauthorizedTTL": "30s"}
        },
        "clusterDomain": (settings.cluster_domain.as_str()),
        "clusterDNS": (Value::List(dns)),
        "nodeStatusUpdateFrequency": "10s",
        "nodeStatusReportFrequency": "5m0s",
        "nodeLeaseDurationSeconds": 40,
        "cgroupRoot": (settings.cgroup_root.as_str()),
        "cgroupsPerQOS": true,
        "cgroupDriver": "cgroupfs",
        "maxPods": (i64::from(settings.max_pods)),
        "resolvConf": (path(&settings.resolv_conf)),
        "enableControllerAttachDetach": true,
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 5,
        "failSwapOn": false,
        "enableDebuggingHandlers": true,
        "enableSystemLogHandler": true,
        "containerRuntimeEndpoint": (format!("unix://{}", settings.containerd.display()))
    })
}
