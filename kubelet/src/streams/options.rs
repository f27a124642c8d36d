//! What a request asks of a stream, in its query.

use api::uri::pairs;
use http::Uri;

/// The standard streams that a client wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub command: Vec<String>,
    pub stdin: bool,
    pub stdout: bool,
    /// Never with a terminal, which has one output.
    pub stderr: bool,
    pub tty: bool,
}

impl Options {
    /// # Errors
    /// When no stream is asked for.
    pub fn of(uri: &Uri) -> Result<Self, String> {
        let query = pairs(uri.query().unwrap_or_default());
        let first = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let asked = |name| first(name) == Some("1");
        let tty = asked("tty");
        let options = Options {
            command: all(&query, "command").map(str::to_owned).collect(),
            stdin: asked("input"),
            stdout: asked("output"),
            stderr: asked("error") && !tty,
            tty,
        };
        if options.stdin || options.stdout || options.stderr {
            Ok(options)
        } else {
            Err("you must specify at least 1 of stdin, stdout, stderr".to_owned())
        }
    }
}

/// The ports of a request to forward them by the older WebSocket protocols: `port=80,443&port=8080`.
///
/// # Errors
/// When there is none, or something else.
pub fn ports(uri: &Uri) -> Result<Vec<u16>, String> {
    let query = pairs(uri.query().unwrap_or_default());
    let mut ports = Vec::new();
    for asked in all(&query, "port") {
        if asked.is_empty() {
            return Err("query parameter \"port\" cannot be empty".to_owned());
        }
        for port in asked.split(',') {
            match parse_port(port) {
                Ok(0) => return Err(format!("port {} must be > 0", api::quote(asked))),
                Ok(port) => ports.push(port),
                Err(why) => return Err(format!("unable to parse {} as a port: {why}", api::quote(asked))),
            }
        }
    }
    if ports.is_empty() { Err("query parameter \"port\" is required".to_owned()) } else { Ok(ports) }
}

/// A port in decimal digits.
///
/// # Errors
/// In Go's words.
pub fn parse_port(text: &str) -> Result<u16, String> {
    let why = match text.parse::<u16>() {
        Ok(port) if !text.starts_with('+') => return Ok(port),
        Err(e) if *e.kind() == std::num::IntErrorKind::PosOverflow => "value out of range",
        _ => "invalid syntax",
    };
    Err(format!("strconv.ParseUint: parsing {}: {why}", api::quote(text)))
}

fn all<'a>(query: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Options, String> {
        Options::of(&format!("/exec/ns/pod/uid/c?{query}").parse().unwrap())
    }

    #[test]
    fn a_command_is_all_its_words_in_order() {
        let options = of("command=sh&command=-c&command=echo+a%26b%20%25&input=1&output=1").unwrap();
        assert_eq!(options.command, ["sh", "-c", "echo a&b %"]);
        assert_eq!((options.stdin, options.stdout, options.stderr), (true, true, false));
    }

    #[test]
    fn a_terminal_has_no_stderr() {
        let options = of("tty=1&output=1&error=1").unwrap();
        assert_eq!((options.tty, options.stderr), (true, false));
        assert!(of("tty=1&error=1").is_err());
        assert_eq!(of("output=true").unwrap_err(), "you must specify at least 1 of stdin, stdout, stderr");
    }

    #[test]
    fn ports_come_one_by_one_or_in_lists() {
        let of = |query: &str| ports(&format!("/portForward/ns/pod?{query}").parse().unwrap());
        assert_eq!(of("port=80,443&port=8080"), Ok(vec![80, 443, 8080]));
        assert_eq!(of("").unwrap_err(), "query parameter \"port\" is required");
        assert_eq!(of("port=0").unwrap_err(), "port \"0\" must be > 0");
        let why =
            "unable to parse \"70000\" as a port: strconv.ParseUint: parsing \"70000\": value out of range";
        assert_eq!(of("port=70000").unwrap_err(), why);
    }
}
