//! Checks of probes and lifecycle hooks. Source: `validateProbe`, `validateHandler`, `validateLifecycle`.

use super::{Scope, set};
use crate::validation::{not_negative, one_of, port_number, port_number_or_name, required, texts};
use api::{Fault, Path, Value, names};

const NUMBERS: [&str; 5] =
    ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
const HANDLERS: [&str; 5] = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];
const WINDOWS_SIGNALS: [&str; 2] = ["SIGKILL", "SIGTERM"];
const SIGNALS: [&str; 65] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

/// Hooks and probes of a container that runs for long.
pub fn all(scope: &Scope<'_>, container: &Value, at: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(lifecycle) = set(container, "lifecycle") {
        faults.extend(self::lifecycle(scope, lifecycle, &at.child("lifecycle")));
    }
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = set(container, kind) {
            faults.extend(self::probe(probe, kind == "readinessProbe", &at.child(kind)));
        }
    }
    faults
}

fn probe(probe: &Value, readiness: bool, path: &Path) -> Vec<Fault> {
    let mut faults = handler(probe, &HANDLERS[..4], None, path);
    for field in NUMBERS {
        faults.extend(not_negative(probe.i64_at(&[field]), &path.child(field)));
    }
    let grace = probe.i64_at(&["terminationGracePeriodSeconds"]);
    let grace_path = path.child("terminationGracePeriodSeconds");
    if let Some(grace) = grace.filter(|g| *g <= 0) {
        faults.push(Fault::invalid(&grace_path, grace, "must be greater than 0"));
    }
    let successes = probe.i64_at(&["successThreshold"]).unwrap_or_default();
    match grace {
        Some(grace) if readiness => {
            faults.push(Fault::invalid(&grace_path, grace, "must not be set for readinessProbes"));
        }
        _ if !readiness && successes != 1 => {
            faults.push(Fault::invalid(path.child("successThreshold"), successes, "must be 1"));
        }
        _ => {}
    }
    faults
}

fn lifecycle(scope: &Scope<'_>, lifecycle: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for hook in ["postStart", "preStop"] {
        if let Some(part) = set(lifecycle, hook) {
            let kinds = ["exec", "httpGet", "tcpSocket", "sleep"];
            faults.extend(handler(part, &kinds, scope.grace_secs, &path.child(hook)));
        }
    }
    if let Some(signal) = set(lifecycle, "stopSignal").and_then(Value::as_str) {
        let path = path.child("stopSignal");
        match set(scope.spec, "os").map(|os| os.str_at(&["name"])) {
            None => {
                let detail = "may not be set for containers with empty `spec.os.name`";
                faults.push(Fault::forbidden(path, detail));
            }
            Some("windows") => faults.extend(one_of(signal, &WINDOWS_SIGNALS, &path)),
            Some("linux") => faults.extend(one_of(signal, &SIGNALS, &path)),
            Some(_) => {}
        }
    }
    faults
}

/// Exactly one of the `kinds` of handlers; only the first one found is looked into.
fn handler(holder: &Value, kinds: &[&str], grace_secs: Option<i64>, path: &Path) -> Vec<Fault> {
    let (mut faults, mut found) = (Vec::new(), false);
    for kind in kinds {
        let Some(part) = set(holder, kind) else { continue };
        let at = path.child(kind);
        if found {
            faults.push(Fault::forbidden(at, "may not specify more than 1 handler type"));
            continue;
        }
        found = true;
        let empty = Value::Null;
        let port = part.get("port").unwrap_or(&empty);
        match *kind {
            "exec" if part.list_at(&["command"]).is_empty() => {
                faults.push(Fault::required(at.child("command"), ""));
            }
            "httpGet" => faults.extend(http_get(part, port, &at)),
            "tcpSocket" => faults.extend(port_number_or_name(port, &at.child("port"))),
            "grpc" => faults.extend(port_number(port.as_i64().unwrap_or_default(), &at.child("port"))),
            "sleep" => faults.extend(sleep(part, grace_secs, &at)),
            _ => {}
        }
    }
    if !found {
        faults.push(Fault::required(path, "must specify a handler type"));
    }
    faults
}

fn http_get(action: &Value, port: &Value, path: &Path) -> Vec<Fault> {
    let mut faults = required(action.str_at(&["path"]), &path.child("path"));
    faults.extend(port_number_or_name(port, &path.child("port")));
    faults.extend(one_of(action.str_at(&["scheme"]), &["HTTP", "HTTPS"], &path.child("scheme")));
    for header in action.list_at(&["httpHeaders"]) {
        let name = header.str_at(&["name"]);
        faults.extend(texts(&path.child("httpHeaders"), name, names::is_http_header_name(name)));
    }
    faults
}

fn sleep(action: &Value, grace_secs: Option<i64>, path: &Path) -> Option<Fault> {
    let (secs, grace) = (action.i64_at(&["seconds"]).unwrap_or_default(), grace_secs?);
    let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
    (!(0..=grace).contains(&secs)).then(|| Fault::invalid(path, secs, detail))
}
