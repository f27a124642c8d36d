//! The recorded scenarios, held by a ratchet: the number that passes in each file may rise, never fall.
//!
//! `PINTLE_RATCHET=1` writes the numbers seen into `scenarios.ratchet` where they rose. `PINTLE_SCENARIOS=apply,patch`
//! replays only files whose name contains one of these words.

use conformance::{Server, scenarios, tools};

#[test]
fn as_many_recorded_scenarios_pass_as_before() {
    let Some(folder) = scenarios::folder() else {
        eprintln!("left out: no recordings beside the repository");
        return;
    };
    if tools::find("kubectl").is_none() {
        return;
    }
    let text = std::fs::read_to_string(scenarios::ratchet_file()).expect("scenarios.ratchet is committed");
    let mut ratchet = scenarios::parse_ratchet(&text).expect("scenarios.ratchet has lines of NAME PASSED");
    let only = std::env::var("PINTLE_SCENARIOS").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only.split(',').any(|word| name.contains(word));
    // As the recorded server was started.
    let server = Server::start_with(&["--disable-admission-plugins", "NodeRestriction"]);
    let mut lost = Vec::new();
    for (name, least) in ratchet.iter_mut().filter(|(name, _)| wanted(name)) {
        let replay = || scenarios::replay(&server, &folder, name).expect("the replay gives a report");
        let first = replay();
        // Some answers show how fast a control loop was, on the recorded machine and on this one.
        let score = if first.passed < *least { replay() } else { first };
        let all = score.passed + score.failed.len();
        eprintln!("{name}: {} of {all} pass, {least} must", score.passed);
        if score.passed < *least {
            lost.push(format!(
                "{name}: {} of {least} pass; failing: {}",
                score.passed,
                score.failed.join(", ")
            ));
        }
        *least = score.passed.max(*least);
    }
    if std::env::var_os("PINTLE_RATCHET").is_some() {
        let text = scenarios::render_ratchet(&ratchet);
        std::fs::write(scenarios::ratchet_file(), text).expect("scenarios.ratchet can be written");
    }
    assert!(lost.is_empty(), "{}\nthe server:\n{}", lost.join("\n"), server.log());
}
