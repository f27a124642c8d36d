//! Opens the connection of a stream. Failures read as those of Go's net package.

use super::place::Place;
use std::io::{Error, ErrorKind};
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Connects, or says why not: `dial tcp 10.0.0.1:10250: connect: connection refused`.
pub async fn dial(place: &Place) -> Result<TcpStream, String> {
    let mut addresses = match lookup_host((place.host.as_str(), place.port)).await {
        Ok(addresses) => addresses,
        Err(_) => return Err(no_such_host(&place.host)),
    };
    let Some(address) = addresses.next() else { return Err(no_such_host(&place.host)) };
    match tokio::time::timeout(TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("dial tcp {address}: {}", text(&error))),
        Err(_) => Err(format!("dial tcp {address}: i/o timeout")),
    }
}

fn no_such_host(host: &str) -> String {
    format!("dial tcp: lookup {host}: no such host")
}

fn text(error: &Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        ErrorKind::TimedOut => "connect: connection timed out".to_owned(),
        _ => format!("connect: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::Refusing;
    use super::*;

    #[tokio::test]
    async fn a_closed_port_reads_as_in_go() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let place =
            Place { host: "127.0.0.1".to_owned(), port, path: String::new(), refusing: Refusing::Proxy };
        assert_eq!(
            dial(&place).await.unwrap_err(),
            format!("dial tcp 127.0.0.1:{port}: connect: connection refused")
        );
    }
}
