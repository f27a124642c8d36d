//! Whether somebody listens on a port.

use super::ask::Answer;
use super::http::authority;
use api::Remote;
use client::https::Dialer;
use std::time::Duration;

pub async fn probe(host: &str, port: u16, timeout: Duration) -> Answer {
    let address = authority(host, port);
    let remote = Remote { url: format!("http://{address}"), ..Remote::default() };
    let dialer = match Dialer::new(&remote, &[]) {
        Ok(dialer) => dialer,
        Err(why) => return Answer::Bad(why.to_string()),
    };
    match tokio::time::timeout(timeout, dialer.dial()).await {
        Ok(Ok(_)) => Answer::Good,
        Ok(Err(why)) => Answer::Bad(why.to_string()),
        Err(_) => Answer::Bad(format!("dial tcp {address}: i/o timeout")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_listens_is_well_and_who_does_not_is_told_in_gos_words() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let second = Duration::from_secs(1);
        assert_eq!(probe("127.0.0.1", port, second).await, Answer::Good);
        drop(listener);
        let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
        assert_eq!(probe("127.0.0.1", port, second).await, Answer::Bad(refused));
    }
}
