//! All figures, as a table to read and as JSON to keep.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::figures::Figures;

/// Medians and rounds of each workload, one entry for each server.
#[derive(Default)]
pub struct Report(Vec<(&'static str, Vec<Measured>)>);

struct Measured {
    median: Figures,
    rounds: Vec<Figures>,
}

impl Report {
    /// Adds a workload with its rounds on each server.
    pub fn add(&mut self, workload: &'static str, servers: &[Vec<Figures>]) {
        let measured =
            |rounds: &Vec<Figures>| Measured { median: Figures::median(rounds), rounds: rounds.clone() };
        self.0.push((workload, servers.iter().map(measured).collect()));
    }
}

/// One line for each workload and server; with two servers, a line with the ratios below: for costs and latencies how
/// many times more the second takes, for rates how many times more the first does.
pub fn table(report: &Report) -> String {
    let mut text = format!(
        "{:<18} {:<6} {:>10} {:>10} {:>10} {:>10} {:>10} {:>12}\n",
        "workload", "server", "op/s", "p50 us", "p99 us", "CPU us/op", "RSS MiB", "bytes/op"
    );
    for (workload, servers) in &report.0 {
        for (name, server) in ["A", "B"].iter().zip(servers) {
            let Figures { per_second, p50_us, p99_us, cpu_us, rss_kib, bytes } = &server.median;
            let (cpu, rss) = (some(*cpu_us), some(rss_kib.map(|kib| kib / 1024.0)));
            // Writing into a String cannot fail.
            let _ = writeln!(
                text,
                "{workload:<18} {name:<6} {per_second:>10.1} {p50_us:>10.0} {p99_us:>10.0} {cpu:>10} {rss:>10} {bytes:>12.0}"
            );
        }
        if let [a, b] = &servers[..] {
            let ratio = |cost: f64, base: f64| some((base > 0.0).then(|| cost / base)) + "x";
            let both = |pick: fn(&Figures) -> Option<f64>| match (pick(&a.median), pick(&b.median)) {
                (Some(a), Some(b)) => ratio(b, a),
                _ => "-".to_owned(),
            };
            let _ = writeln!(
                text,
                "{workload:<18} {:<6} {:>10} {:>10} {:>10} {:>10} {:>10}",
                "ratio",
                ratio(a.median.per_second, b.median.per_second),
                ratio(b.median.p50_us, a.median.p50_us),
                ratio(b.median.p99_us, a.median.p99_us),
                both(|figures| figures.cpu_us),
                both(|figures| figures.rss_kib),
            );
        }
    }
    text
}

fn some(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
}

/// `{workload: [{median: {…}, rounds: [{…}]}]}`, servers in the order of their kubeconfigs.
pub fn json(report: &Report) -> String {
    let server = |measured: &Measured| {
        let rounds: Vec<Value> = measured.rounds.iter().map(object).collect();
        json!({"median": object(&measured.median), "rounds": rounds})
    };
    let workloads = report.0.iter().map(|(name, servers)| {
        let servers: Vec<Value> = servers.iter().map(server).collect();
        ((*name).to_owned(), Value::Array(servers))
    });
    format!("{:#}\n", Value::Object(workloads.collect()))
}

fn object(figures: &Figures) -> Value {
    json!({
        "per_second": figures.per_second,
        "p50_us": figures.p50_us,
        "p99_us": figures.p99_us,
        "cpu_us": figures.cpu_us,
        "rss_kib": figures.rss_kib,
        "bytes": figures.bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let figures = |cpu_us, per_second| Figures { cpu_us, per_second, p50_us: 10.0, ..Figures::default() };
        let mut report = Report::default();
        report.add("get-pod", &[vec![figures(Some(50.0), 900.0)], vec![figures(Some(500.0), 300.0)]]);
        report
    }

    #[test]
    fn ratios_say_how_much_better_the_first_is() {
        let table = table(&report());
        let ratio: Vec<&str> = table.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(ratio, ["get-pod", "ratio", "3.0x", "1.0x", "-x", "10.0x", "-"]);
    }

    #[test]
    fn the_json_keeps_each_round() {
        let value: Value = serde_json::from_str(&json(&report())).unwrap();
        assert_eq!(value["get-pod"][1]["median"]["cpu_us"], 500.0);
        assert_eq!(value["get-pod"][0]["rounds"].as_array().map(Vec::len), Some(1));
    }
}
