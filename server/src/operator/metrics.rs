//! The metrics over HTTP: `GET /metrics` or `HEAD`, and nothing else.
//!
//! One request for each connection, with bounds on the size of its head, on its time and on the number of clients at once.
//! Only as much HTTP as a scraper needs.

use std::{future::poll_fn, io, net, sync::Arc, task::Poll, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{AdminState, SCRAPERS_MAX, connections::BoundedClients, exposition, negotiation::Format};
use crate::transport::{TcpSocket, close};

/// The longest request head: scrapers send far less than 1 KiB.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// More header fields than a scraper sends.
const FIELDS_MAX: usize = 64;

/// How long a client may take over its request, and as long again over the reply.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(5);

/// Serves until it is dropped; returns only with an error.
pub(super) async fn serve(listeners: Vec<net::TcpListener>, state: Arc<AdminState>) -> io::Result<()> {
    let listeners = listeners.into_iter().map(TcpListener::from_std).collect::<io::Result<Vec<_>>>()?;
    let mut turns = (0..listeners.len()).cycle();
    let mut clients = BoundedClients::new(SCRAPERS_MAX);
    loop {
        // The listeners take turns at being asked first, so that a flood at one delays no other.
        let first = turns.next().unwrap_or_default();
        let (before, after) = listeners.split_at(first);
        let accepted = poll_fn(|cx| {
            let mut accepted = after.iter().chain(before).map(|listener| listener.poll_accept(cx));
            accepted.find(Poll::is_ready).unwrap_or(Poll::Pending)
        });
        match accepted.await {
            Ok((stream, _peer)) => {
                // Only now: no client gives way to one that may never come.
                clients.wait_for_room().await;
                let state = Arc::clone(&state);
                clients.serve(async move {
                    // A client that has gone, or takes too long, cannot be told anything.
                    let _ = serve_client(stream, &state).await;
                });
            }
            Err(error) => clients.log_and_pause("a scraper", error).await,
        }
    }
}

async fn serve_client(mut stream: TcpStream, state: &Arc<AdminState>) -> io::Result<()> {
    let mut head = Vec::new();
    let verdict = timeout(CLIENT_TIME_MAX, read_head(&mut stream, &mut head))
        .await
        .unwrap_or(Ok(Err("408 Request Timeout")))?;
    let reply = match verdict {
        Ok(Wanted { format, has_body }) => match exposition::render(state) {
            Ok(body) => {
                let body = match format {
                    Format::Plain => exposition::as_plain_text(&body),
                    Format::OpenMetrics => body,
                };
                let mut reply = reply("200 OK", format.content_type(), "Vary: Accept\r\n", &body);
                if !has_body {
                    reply.truncate(reply.len() - body.len());
                }
                reply
            }
            Err(_) => refusal("500 Internal Server Error"),
        },
        Err(status) => refusal(status),
    };
    timeout(CLIENT_TIME_MAX, stream.write_all(&reply)).await??;
    // As other connections are closed, so that no reset overtakes the reply.
    close(TcpSocket::new(stream.into_std()?)?).await;
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    format: Format,
    /// `HEAD` wants all but the body.
    has_body: bool,
}

/// Reads a request head; the inner result says what is wrong with it.
async fn read_head(stream: &mut TcpStream, head: &mut Vec<u8>) -> io::Result<Result<Wanted, &'static str>> {
    loop {
        head.reserve(1024);
        if stream.read_buf(head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(verdict) = parse_request(head) {
            return Ok(verdict);
        }
    }
}

/// Whether the head asks for the metrics; `None` while it is incomplete.
fn parse_request(head: &[u8]) -> Option<Result<Wanted, &'static str>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) if head.len() <= HEAD_BYTES_MAX => {}
        Ok(httparse::Status::Partial) if head.len() <= HEAD_BYTES_MAX => return None,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Some(Err("431 Request Header Fields Too Large"));
        }
        Err(_) => return Some(Err("400 Bad Request")),
    }
    // A query is allowed: scrapers may be configured to add one.
    let path = request.path.unwrap_or_default().split('?').next();
    let has_body = match (request.method, path) {
        (Some("GET"), Some("/metrics")) => true,
        (Some("HEAD"), Some("/metrics")) => false,
        (Some("GET" | "HEAD"), _) => return Some(Err("404 Not Found")),
        _ => return Some(Err("405 Method Not Allowed")),
    };
    let fields = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("accept"));
    let format = Format::preferred(&fields.filter_map(|field| std::str::from_utf8(field.value).ok()));
    Some(Ok(Wanted { format, has_body }))
}

fn refusal(status: &str) -> Vec<u8> {
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    reply(status, "text/plain; charset=utf-8", allow, &format!("{status}: the metrics are at GET /metrics\n"))
}

fn reply(status: &str, content_type: &str, fields: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\n{fields}Content-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_get_of_the_metrics_is_answered_with_them() {
        let fields = "x: y\r\n".repeat(FIELDS_MAX + 1);
        let plain = Some(Ok(Wanted { format: Format::Plain, has_body: true }));
        for (head, expected) in [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", plain),
            ("GET /metrics?a=b HTTP/1.0\r\n\r\n", plain),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", Some(Ok(Wanted { format: Format::Plain, has_body: false }))),
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n", None),
            ("", None),
            ("GET / HTTP/1.1\r\n\r\n", Some(Err("404 Not Found"))),
            ("GET /metricsx HTTP/1.1\r\n\r\n", Some(Err("404 Not Found"))),
            ("POST /metrics HTTP/1.1\r\n\r\n", Some(Err("405 Method Not Allowed"))),
            ("put a b\r\n", Some(Err("400 Bad Request"))),
            (&format!("GET /metrics HTTP/1.1\r\n{fields}"), Some(Err("431 Request Header Fields Too Large"))),
        ] {
            assert_eq!(parse_request(head.as_bytes()), expected, "{head}");
        }
        let endless = format!("GET /metrics HTTP/1.1\r\nx: {}", "y".repeat(HEAD_BYTES_MAX));
        assert_eq!(parse_request(endless.as_bytes()), Some(Err("431 Request Header Fields Too Large")));
    }
}
