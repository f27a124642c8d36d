//! Calls to a KMS plugin: gRPC over a unix socket, one request and one answer each. The plugin has a thread of its own
//! here, so that a call can be waited for wherever the store is read, and a plugin that hangs costs its timeout.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{Mutex, mpsc, oneshot};

const SERVICE: &str = "v2.KeyManagementService";
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
const GONE: &str = "the plugin's thread is gone";
/// Codes of gRPC by number.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

type Answer = Result<Vec<u8>, String>;

struct Call {
    method: &'static str,
    message: Vec<u8>,
    /// Takes the answer to who waits for it.
    answer: Box<dyn FnOnce(Answer) + Send>,
}

/// The way to one plugin. Its thread ends with it.
pub struct Plugin {
    calls: mpsc::UnboundedSender<Call>,
}

impl Plugin {
    /// Starts the thread. `endpoint` is `unix:///PATH`, or `unix:///@NAME` for a name without a file.
    pub fn start(endpoint: &str, timeout: Duration) -> Result<Self, String> {
        let address = address(endpoint)?;
        let (calls, waiting) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|why| format!("cannot start a thread for {endpoint}: {why}"))?;
        let link = Arc::new(Link { address, timeout, sender: Mutex::default() });
        let thread = std::thread::Builder::new().name("kms".into());
        let started = thread.spawn(move || runtime.block_on(serve(link, waiting)));
        started.map_err(|why| format!("cannot start a thread for {endpoint}: {why}"))?;
        Ok(Plugin { calls })
    }

    /// Without a thread `answer` is dropped, which ends the waiting too; so does nobody who waits.
    fn begin(&self, method: &'static str, message: Vec<u8>, answer: impl FnOnce(Answer) + Send + 'static) {
        let _ = self.calls.send(Call { method, message, answer: Box::new(answer) });
    }

    pub async fn call(&self, method: &'static str, message: Vec<u8>) -> Answer {
        let (sender, receiver) = oneshot::channel();
        self.begin(method, message, move |answer| drop(sender.send(answer)));
        receiver.await.unwrap_or_else(|_| Err(GONE.to_owned()))
    }

    /// As `call`, for those who cannot wait in tokio's way. Other tasks of this thread go on elsewhere meanwhile.
    pub fn call_blocking(&self, method: &'static str, message: Vec<u8>) -> Answer {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.begin(method, message, move |answer| drop(sender.send(answer)));
        let wait = || receiver.recv();
        let flavor = tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor());
        let answer = match flavor {
            Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
            _ => wait(),
        };
        answer.unwrap_or_else(|_| Err(GONE.to_owned()))
    }
}

fn address(endpoint: &str) -> Result<SocketAddr, String> {
    let path = endpoint.strip_prefix("unix://").ok_or_else(|| format!("invalid endpoint {endpoint}"))?;
    let made = match path.strip_prefix("/@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(path),
    };
    made.map_err(|why| format!("invalid endpoint for kms provider, error: {why}"))
}

async fn serve(link: Arc<Link>, mut waiting: mpsc::UnboundedReceiver<Call>) {
    while let Some(Call { method, message, answer }) = waiting.recv().await {
        let link = link.clone();
        tokio::spawn(async move {
            let done = tokio::time::timeout(link.timeout, link.call(method, &message)).await;
            let late = || failure(4, "context deadline exceeded");
            answer(done.unwrap_or_else(|_| Err(late())));
        });
    }
}

struct Link {
    address: SocketAddr,
    timeout: Duration,
    /// The connection, once there is one.
    sender: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Link {
    async fn call(&self, method: &str, message: &[u8]) -> Result<Vec<u8>, String> {
        let mut sender = self.sender().await.map_err(|why| failure(14, &why))?;
        let request = Request::post(format!("http://localhost/{SERVICE}/{method}"))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .header("grpc-timeout", format!("{}m", self.timeout.as_millis().min(99_999_999)))
            .body(Full::new(framed(message)))
            .map_err(|why| failure(13, &why.to_string()))?;
        let response = match sender.send_request(request).await {
            Ok(response) => response,
            Err(why) => {
                *self.sender.lock().await = None;
                return Err(failure(14, &why.to_string()));
            }
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|why| failure(13, &why.to_string()))?;
        let status = body.trailers().filter(|trailers| trailers.contains_key("grpc-status"));
        check(status.unwrap_or(&head.headers), head.status)?;
        unframed(&body.to_bytes())
    }

    async fn sender(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let mut sender = self.sender.lock().await;
        if let Some(sender) = sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let say = |why: std::io::Error| {
            format!("connection error: desc = \"transport: error while dialing: {why}\"")
        };
        let stream = std::os::unix::net::UnixStream::connect_addr(&self.address).map_err(say)?;
        stream.set_nonblocking(true).map_err(say)?;
        let stream = TokioIo::new(UnixStream::from_std(stream).map_err(say)?);
        let mut builder = Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new());
        let (fresh, connection) = builder.handshake(stream).await.map_err(|why| why.to_string())?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a KMS plugin ended");
            }
        });
        Ok(sender.insert(fresh).clone())
    }
}

/// gRPC's head of a message: not compressed, and its length.
fn framed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 5);
    out.put_u8(0);
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.put_slice(message);
    out.freeze()
}

fn unframed(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let broken = || failure(13, "the answer is cut short");
    let (head, message) = bytes.split_first_chunk::<5>().ok_or_else(broken)?;
    let [compressed, length @ ..] = head;
    if *compressed != 0 {
        return Err(failure(12, "the answer is compressed"));
    }
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    message.get(..length).map(<[u8]>::to_vec).ok_or_else(broken)
}

fn check(headers: &HeaderMap, status: http::StatusCode) -> Result<(), String> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    match text("grpc-status").parse::<usize>() {
        Ok(0) => Ok(()),
        Ok(code) => Err(failure(code, &unescaped(text("grpc-message")))),
        Err(_) => Err(failure(2, &format!("unexpected HTTP status code received from server: {status}"))),
    }
}

/// In Go's words.
fn failure(code: usize, why: &str) -> String {
    let name = CODES.get(code).map_or_else(|| format!("Code({code})"), ToString::to_string);
    format!("rpc error: code = {name} desc = {why}")
}

/// `%XX` of a message.
fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let pair = after.split_first_chunk::<2>().filter(|_| *byte == b'%');
        let code = pair.and_then(|(hex, after)| {
            let hex = std::str::from_utf8(hex).ok()?;
            Some((u8::from_str_radix(hex, 16).ok()?, after))
        });
        let (byte, after) = code.unwrap_or((*byte, after));
        out.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_framed_and_failures_worded_as_in_go() {
        assert_eq!(unframed(&framed(b"abc")).unwrap(), b"abc");
        assert!(unframed(&framed(b"abc")[..6]).is_err() && unframed(b"").is_err());
        assert_eq!(failure(7, "no"), "rpc error: code = PermissionDenied desc = no");
        assert_eq!(failure(99, "no"), "rpc error: code = Code(99) desc = no");
        assert_eq!(unescaped("a%20b%C3%A9%"), "a bé%");
        assert!(address("unix:///tmp/x").is_ok() && address("unix:///@x").is_ok());
        assert!(address("http://x").is_err());
    }
}
