//! A kubelet's `/metrics/resource`, read.

use std::collections::HashMap;
use stdx::Time;

/// Cumulated CPU time in seconds, with when it was read, and memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Used {
    pub cpu_secs: Option<f64>,
    /// Unix milliseconds.
    pub millis: i64,
    pub memory: Option<f64>,
}

/// What a node said.
#[derive(Debug, Default)]
pub struct Reading {
    pub taken: Time,
    pub node: Used,
    /// By namespace, pod and container.
    pub containers: HashMap<(String, String, String), Used>,
}

impl Reading {
    pub fn parse(text: &str, taken: Time) -> Self {
        let mut reading = Reading { taken, ..Reading::default() };
        let now = taken.secs * 1000 + i64::from(taken.nanos / 1_000_000);
        for sample in text.lines().filter_map(Sample::parse) {
            let millis = sample.millis.unwrap_or(now);
            match sample.name {
                "node_cpu_usage_seconds_total" => {
                    (reading.node.cpu_secs, reading.node.millis) = (Some(sample.value), millis);
                }
                "node_memory_working_set_bytes" => reading.node.memory = Some(sample.value),
                "container_cpu_usage_seconds_total" => {
                    let used = reading.containers.entry(sample.container()).or_default();
                    (used.cpu_secs, used.millis) = (Some(sample.value), millis);
                }
                "container_memory_working_set_bytes" => {
                    reading.containers.entry(sample.container()).or_default().memory = Some(sample.value);
                }
                _ => {}
            }
        }
        reading
    }
}

/// One line: `name{label="value",…} 1.5e+06 1700000000000`.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
    millis: Option<i64>,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let mut numbers = rest.split_whitespace();
        let value = numbers.next()?.parse().ok()?;
        Some(Sample { name, labels, value, millis: numbers.next().and_then(|millis| millis.parse().ok()) })
    }

    fn container(&self) -> (String, String, String) {
        let label = |name: &str| {
            self.labels
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.clone())
                .unwrap_or_default()
        };
        (label("namespace"), label("pod"), label("container"))
    }
}

/// Labels up to the closing brace, and what comes after it.
fn labels(mut rest: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, value) = rest.split_once("=\"")?;
        let mut text = String::new();
        let mut chars = value.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => text.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => text.push(other),
            }
        };
        labels.push((name, text));
        rest = value.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelets_text_is_read() {
        let text = "# HELP x y\n# TYPE x counter\n\
            container_cpu_usage_seconds_total{container=\"c\",namespace=\"ns\",pod=\"p\"} 1.5 1700000000005\n\
            container_memory_working_set_bytes{container=\"c\",namespace=\"ns\",pod=\"p\"} 1.2345678e+07 1700000000005\n\
            node_cpu_usage_seconds_total 9\nnode_memory_working_set_bytes 5e+09 7\nscrape_error 0\nbroken{a=\n";
        let reading = Reading::parse(text, Time { secs: 2, nanos: 5_000_000 });
        assert_eq!(reading.node, Used { cpu_secs: Some(9.0), millis: 2005, memory: Some(5e9) });
        let key = ("ns".to_owned(), "p".to_owned(), "c".to_owned());
        let used = Used { cpu_secs: Some(1.5), millis: 1_700_000_000_005, memory: Some(12_345_678.0) };
        assert_eq!(reading.containers.get(&key), Some(&used));
    }

    #[test]
    fn labels_may_hold_anything() {
        let (labels, rest) = labels("a=\"x\\\"},y\\\\\",b=\"\"} 1").unwrap();
        assert_eq!((labels[0].1.as_str(), labels[1].1.as_str(), rest), ("x\"},y\\", "", " 1"));
    }
}
