//! The client's side of TLS and of WebSocket over TLS, against servers of a test's own.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::HandshakeKind;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use twinwire::wire::{
    Connection, Ended, Endpoint, Reply, ReplyHandler, TlsPeer, Traffic, TrustStore, WebSocketUrl,
};

use crate::support::replies::DONE;
use crate::support::tls::{Certificate, LOCAL};

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Kept(Vec<String>);

impl ReplyHandler for Kept {
    fn is_whole(&self, _: &[u8]) -> bool {
        true
    }

    fn reply(&mut self, reply: Reply<'_>) {
        self.0.push(String::from_utf8(reply.text.to_vec()).unwrap());
    }
}

/// A listener with a certificate, and whom to trust for it.
struct Place {
    listener: TcpListener,
    certificate: Certificate,
    trust: TrustStore,
}

impl Place {
    async fn new() -> Self {
        let certificate = Certificate::self_signed(&LOCAL, |_| {});
        let trust = TrustStore::only(certificate.chain[0].clone()).unwrap();
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), certificate, trust }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    fn peer(&self) -> TlsPeer {
        TlsPeer::new("127.0.0.1", &self.trust).unwrap()
    }

    fn tls(&self) -> Endpoint {
        Endpoint::lines(self.address().into(), Some(self.peer()))
    }

    fn wss(&self) -> Endpoint {
        let url = WebSocketUrl::root(true, "127.0.0.1", self.address().port());
        Endpoint::websocket(self.address().into(), url, Some(self.peer()))
    }

    async fn accept(&self) -> TlsStream<TcpStream> {
        let (stream, _) = self.listener.accept().await.unwrap();
        self.certificate.acceptor().accept(stream).await.unwrap()
    }
}

async fn connect(endpoint: Endpoint, traffic: &Arc<Traffic>) -> Connection {
    endpoint.connect(traffic.clone(), PATIENCE).await.unwrap()
}

/// A client over TLS lines with its server's side.
async fn pair() -> (Connection, TlsStream<TcpStream>) {
    let place = Place::new().await;
    let traffic = Arc::new(Traffic::default());
    tokio::join!(connect(place.tls(), &traffic), place.accept())
}

/// Polls the connection until it has so many replies or has ended.
async fn drain(connection: &mut Connection, count: usize) -> (Vec<String>, Option<Ended>) {
    let mut kept = Kept::default();
    let draining = poll_fn(|cx| match connection.flush(cx).and_then(|_| connection.drain(cx, &mut kept)) {
        Err(ended) => Poll::Ready(Some(ended)),
        Ok(()) if kept.0.len() >= count => Poll::Ready(None),
        Ok(()) => Poll::Pending,
    });
    let ended = tokio::time::timeout(PATIENCE, draining).await;
    (kept.0, ended.expect("all that was sent arrives"))
}

#[tokio::test]
async fn what_one_record_holds_is_all_given_at_once() {
    let (mut client, mut server) = pair().await;
    // More lines than reads in a row are made, in as few records as they fill.
    let lines: Vec<String> = (0..20_000).map(|number| format!("reply {number}")).collect();
    let text = lines.join("\n") + "\n";
    let writing = tokio::spawn(async move {
        server.write_all(text.as_bytes()).await.unwrap();
        server.flush().await.unwrap();
        server
    });
    assert_eq!(drain(&mut client, lines.len()).await, (lines, None));
    writing.await.unwrap();
}

#[tokio::test]
async fn lines_are_whole_however_records_cut_them() {
    let (mut client, mut server) = pair().await;
    let writing = tokio::spawn(async move {
        for byte in "grüße\r\ndone\n".as_bytes() {
            server.write_all(&[*byte]).await.unwrap();
            server.flush().await.unwrap();
        }
        server
    });
    assert_eq!(drain(&mut client, 2).await.0, ["grüße", DONE]);
    writing.await.unwrap();
}

#[tokio::test]
async fn a_single_record_of_many_small_ones_starves_nobody() {
    let (mut client, mut server) = pair().await;
    let writing = tokio::spawn(async move {
        for number in 0..1_000 {
            // A record each, many of them in one segment.
            server.write_all(format!("{number}\n").as_bytes()).await.unwrap();
        }
        server.flush().await.unwrap();
        server
    });
    let (replies, ended) = drain(&mut client, 1_000).await;
    assert_eq!((replies.len(), ended, replies.last().map(String::as_str)), (1_000, None, Some("999")));
    writing.await.unwrap();
}

#[tokio::test]
async fn flushed_means_that_nothing_is_kept_back() {
    let place = Place::new().await;
    let traffic = Arc::new(Traffic::default());
    let (mut client, mut server) = tokio::join!(connect(place.tls(), &traffic), place.accept());
    let shaken = traffic.sent();
    let message = vec![b'x'; 4_000];
    let mut pushed = 0;
    // Until the sockets' buffers are full, and the library's too.
    loop {
        client.push(&message).unwrap();
        pushed += message.len() as u64 + 1;
        if !poll_fn(|cx| Poll::Ready(client.flush(cx).unwrap())).await {
            break;
        }
        assert!(traffic.sent() - shaken > pushed, "{} bytes written of {pushed}", traffic.sent() - shaken);
        assert!(pushed < 100_000_000, "a server that does not read is noticed");
    }
    let reading = tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        let mut received = 0;
        while received < pushed {
            received += server.read(&mut buffer).await.unwrap() as u64;
        }
        received
    });
    let flushing = poll_fn(|cx| if client.flush(cx).unwrap() { Poll::Ready(()) } else { Poll::Pending });
    tokio::time::timeout(PATIENCE, flushing).await.unwrap();
    // Nobody polls the client any more, and yet all of it arrives.
    let received = tokio::time::timeout(PATIENCE, reading).await.unwrap().unwrap();
    assert_eq!(received, pushed);
}

#[tokio::test]
async fn an_end_without_goodbye_is_a_close() {
    for polite in [true, false] {
        let (mut client, mut server) = pair().await;
        server.write_all(b"last words\nand hal").await.unwrap();
        server.flush().await.unwrap();
        if polite {
            server.shutdown().await.unwrap();
        } else {
            server.into_inner().0.shutdown().await.unwrap();
        }
        let (replies, ended) = drain(&mut client, usize::MAX).await;
        assert_eq!((replies, ended), (vec!["last words".to_owned()], Some(Ended::Closed)), "{polite}");
    }
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let (mut client, server) = pair().await;
    let (stream, _) = server.into_inner();
    stream.set_zero_linger().unwrap();
    drop(stream);
    assert_eq!(drain(&mut client, 1).await.1, Some(Ended::Reset));
}

#[tokio::test]
async fn bytes_that_are_no_records_end_the_connection_with_the_reason() {
    let (mut client, server) = pair().await;
    let (mut stream, _) = server.into_inner();
    stream.write_all(b"done\n").await.unwrap();
    let Some(Ended::Failed(why)) = drain(&mut client, 1).await.1 else { panic!("it must fail") };
    insta::assert_snapshot!(why, @"the server sent something that is not TLS");
}

#[tokio::test]
async fn bytes_are_counted_as_they_are_on_the_wire() {
    let place = Place::new().await;
    let traffic = Arc::new(Traffic::sampling(1));
    let (mut client, server) = tokio::join!(connect(place.tls(), &traffic), place.accept());
    let before = (traffic.sent(), traffic.received());
    assert!(before.0 > 200 && before.1 > 400, "the handshake counts: {before:?}");
    let mut server = BufReader::new(server);
    client.push(&[b'a'; 1_000]).unwrap();
    poll_fn(|cx| Poll::Ready(client.flush(cx).unwrap())).await;
    let mut line = String::new();
    server.read_line(&mut line).await.unwrap();
    server.get_mut().write_all(b"done\n").await.unwrap();
    server.get_mut().flush().await.unwrap();
    assert_eq!(drain(&mut client, 1).await.0, [DONE]);
    // 5 bytes of header, one of type and 16 of proof for each record (TLS 1.3).
    assert_eq!(traffic.sent() - before.0, 1_001 + 22);
    assert!(traffic.received() >= before.1 + 5 + 22);
    let kernel = traffic.sample().unwrap().counted;
    assert_eq!((kernel.bytes_received, kernel.bytes_sent), (traffic.received(), traffic.sent()));
}

#[tokio::test]
async fn every_connection_pays_for_a_whole_handshake_of_either_version() {
    let place = Place::new().await;
    let traffic = Arc::new(Traffic::default());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let acceptor = place.certificate.acceptor_of(&[version]);
        for _ in 0..3 {
            let accept = async {
                let (stream, _) = place.listener.accept().await.unwrap();
                acceptor.accept(stream).await.unwrap()
            };
            let (mut client, mut server) = tokio::join!(connect(place.tls(), &traffic), accept);
            let session = server.get_ref().1;
            assert_eq!(session.protocol_version(), Some(version.version));
            assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
            // The tickets that a client could resume with come before this.
            server.write_all(b"hello\n").await.unwrap();
            server.flush().await.unwrap();
            assert_eq!(drain(&mut client, 1).await.0, ["hello"]);
        }
    }
}

#[tokio::test]
async fn ws_1_messages_go_both_ways_over_tls() {
    let place = Place::new().await;
    let traffic = Arc::new(Traffic::default());
    let serve = async {
        let mut server = tokio_tungstenite::accept_async(place.accept().await).await.unwrap();
        let mut asked = Vec::new();
        for _ in 0..200 {
            let message = server.next().await.unwrap().unwrap().into_text().unwrap().to_string();
            server.feed(Message::text(format!("re: {message}"))).await.unwrap();
            asked.push(message);
        }
        server.flush().await.unwrap();
        server.close(None).await.unwrap();
        while server.next().await.is_some() {}
        asked
    };
    let ask = async {
        let mut client = connect(place.wss(), &traffic).await;
        for number in 0..200 {
            client.push(format!("put k {number}").as_bytes()).unwrap();
        }
        drain(&mut client, usize::MAX).await
    };
    let ((replies, ended), asked) = tokio::join!(ask, serve);
    assert_eq!(replies, asked.iter().map(|message| format!("re: {message}")).collect::<Vec<_>>());
    assert_eq!((replies.len(), ended), (200, Some(Ended::Closed)));
}

/// What is stamped as sent before a flush must not be on its way before it.
#[tokio::test]
async fn nothing_is_written_before_a_flush_however_much_is_queued() {
    for framed in [false, true] {
        let place = Place::new().await;
        let traffic = Arc::new(Traffic::default());
        let endpoint = if framed { place.wss() } else { place.tls() };
        let serve = async {
            let stream = place.accept().await;
            let mut stream = if framed {
                tokio_tungstenite::accept_async(stream).await.unwrap().into_inner()
            } else {
                stream
            };
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap_or(0)
        };
        let ask = async {
            let mut client = connect(endpoint, &traffic).await;
            let before = traffic.sent();
            for length in [60_000, 100, 17_000, 20_000] {
                client.push(&vec![b'x'; length]).unwrap();
            }
            let queued = traffic.sent() - before;
            while !poll_fn(|cx| Poll::Ready(client.flush(cx).unwrap())).await {
                tokio::task::yield_now().await;
            }
            (queued, traffic.sent() - before)
        };
        let ((queued, flushed), _) = tokio::join!(ask, serve);
        assert!(queued == 0 && flushed > 97_100, "{framed}: {queued} before, {flushed} after");
    }
}

#[tokio::test]
async fn a_websocket_over_tls_that_just_ends_lacks_its_close_frame() {
    for polite in [true, false] {
        let place = Place::new().await;
        let traffic = Arc::new(Traffic::default());
        let serve = async {
            let server = tokio_tungstenite::accept_async(place.accept().await).await.unwrap();
            let mut stream = server.into_inner();
            if polite {
                stream.shutdown().await.unwrap();
            } else {
                stream.into_inner().0.shutdown().await.unwrap();
            }
        };
        let ask = async { drain(&mut connect(place.wss(), &traffic).await, 1).await.1 };
        let ended = tokio::join!(ask, serve).0.unwrap();
        assert_eq!(ended.to_string(), "the server ended TCP without a close frame", "{polite}");
    }
}
