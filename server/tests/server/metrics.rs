//! The metrics over HTTP, through the program itself.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use twinwire_server::Transport;

use crate::replies::{DONE, KEY_NOT_FOUND, UPGRADED, WRONG_FORMAT};
use crate::{
    program::{Program, command, refusal},
    support::{CLIENT_TIMEOUT, Client, PLAIN},
};

/// A server with metrics, a client on each transport, and where the metrics are.
fn start(args: &[&str]) -> (Program, Vec<Client>, String) {
    let listeners =
        ["--tcp", "127.0.0.1:0", "--tcp-raw", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--metrics", "0"];
    let mut program = Program::start(&[&listeners[..], args].concat());
    let clients = PLAIN.map(|transport| program.client(transport)).into();
    let line = program.line();
    let address = line.trim_end().strip_prefix("listening metrics ").unwrap().to_owned();
    assert!(address.starts_with("127.0.0.1:"), "a port alone is one of loopback");
    (program, clients, address)
}

pub(crate) fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(CLIENT_TIMEOUT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

/// The figure of one line, by its name and labels.
pub(crate) fn figure(metrics: &str, name: &str) -> Option<u64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

/// The metrics once a figure is this. A client may see its connection's end before the server counts it.
pub(crate) fn once(address: &str, name: &str, expected: u64) -> String {
    let deadline = Instant::now() + CLIENT_TIMEOUT;
    loop {
        let reply = ask(address, "GET /metrics HTTP/1.1\r\n\r\n");
        if figure(&reply, name) == Some(expected) {
            return reply;
        }
        assert!(Instant::now() < deadline, "{name} is not {expected} in:\n{reply}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_scrape_tells_connections_requests_refusals_bytes_and_stores() {
    // Two workers, so that there is something to add up.
    let (_program, mut clients, address) = start(&["--workers", "2", "--max-connections", "3"]);
    for client in &mut clients {
        assert_eq!(client.ask("put k v"), DONE);
        assert_eq!(client.ask("get k"), "v");
        assert_eq!(client.ask("nonsense"), WRONG_FORMAT);
    }
    assert_eq!(clients[0].ask("upgrade"), UPGRADED);
    let mut refused = Client::connect_bare(Transport::Tcp, clients[0].stream.peer_addr().unwrap());
    assert_eq!(refused.rest(), b"server full\n");

    let open_metrics = "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: application/openmetrics-text\r\n\r\n";
    let reply = ask(&address, open_metrics);
    let (head, metrics) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    assert!(head.contains(&format!("Content-Length: {}", metrics.len())), "{head}");
    for (name, expected) in [
        (r#"twinwire_connections_open{transport="tcp"}"#, 1),
        (r#"twinwire_connections_total{transport="websocket"}"#, 1),
        (r#"twinwire_requests_total{command="login",reply="success"}"#, 3),
        (r#"twinwire_requests_total{command="put",reply="done"}"#, 3),
        (r#"twinwire_requests_total{command="get",reply="value"}"#, 3),
        (r#"twinwire_requests_total{command="malformed",reply="wrong message format"}"#, 3),
        (r#"twinwire_requests_total{command="upgrade",reply="upgraded to manager"}"#, 1),
        (r#"twinwire_refusals_total{reason="server-full"}"#, 1),
        (r#"twinwire_refusals_total{reason="idle-timeout"}"#, 0),
        ("twinwire_stores", 3),
        ("twinwire_managers", 1),
        ("twinwire_keys", 3),
        ("twinwire_stored_bytes", 6),
    ] {
        assert_eq!(figure(metrics, name), Some(expected), "{name} in:\n{metrics}");
    }
    // "tcp\n", "put k v\n" and so on came over TCP alone; each transport has framing of its own.
    // Three connections on two workers, five requests each but for one's sixth.
    let by_worker = ["0", "1"].map(|worker| {
        figure(metrics, &format!("twinwire_worker_requests_total{{worker=\"{worker}\"}}")).unwrap()
    });
    assert_eq!(by_worker.iter().sum::<u64>(), 3 * 4 + 1);
    assert!(by_worker.iter().all(|&count| count >= 4), "{by_worker:?}");
    let received = figure(metrics, "twinwire_received_bytes_total").unwrap();
    assert!((85..250).contains(&received), "{received}");
    assert!(figure(metrics, "twinwire_sent_bytes_total").unwrap() > 100);
    assert!(metrics.ends_with("# EOF\n"));

    drop(clients);
    once(&address, r#"twinwire_connections_open{transport="tcp"}"#, 0);
}

#[test]
fn nothing_but_a_get_of_the_metrics_is_answered_with_them() {
    let (_program, _clients, address) = start(&[]);
    for (request, expected) in [
        ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405 Method Not Allowed"),
        ("nonsense\r\n\r\n", "400 Bad Request"),
    ] {
        let reply = ask(&address, request);
        assert!(reply.starts_with(&format!("HTTP/1.1 {expected}\r\n")), "{request}: {reply}");
    }
    let endless = format!("GET /metrics HTTP/1.1\r\nx: {}", "y".repeat(20_000));
    assert!(ask(&address, &endless).starts_with("HTTP/1.1 431 "));
}

#[test]
fn life_5_scrapers_that_send_nothing_do_no_harm() {
    let (_program, mut clients, address) = start(&[]);
    let _silent: Vec<_> = (0..4).map(|_| TcpStream::connect(&address).unwrap()).collect();
    assert!(ask(&address, "GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
    let more: Vec<_> = (0..50).map(|_| TcpStream::connect(&address).unwrap()).collect();
    assert_eq!(clients[0].ask("get k"), KEY_NOT_FOUND);
    // Those that say nothing are closed after five seconds: no other client waits for that, not even behind fifty of them.
    let asked = Instant::now();
    for _ in 0..20 {
        assert!(ask(&address, "GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
    }
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    drop(more);
}

#[test]
fn a_port_in_use_for_metrics_is_one_clear_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, stderr) = refusal(&mut command(&["--tcp", "127.0.0.1:0", "--metrics", &address]));
    assert_eq!(code, Some(1));
    assert!(
        stderr.starts_with(&format!("twinwire-server: cannot listen on {address} for metrics: ")),
        "{stderr}"
    );
}

#[test]
fn the_format_is_the_one_that_the_scraper_asks_for() {
    let (_program, _clients, address) = start(&[]);
    let get = |accept: &str| ask(&address, &format!("GET /metrics HTTP/1.1\r\nAccept: {accept}\r\n\r\n"));
    for accept in ["text/plain;version=0.0.4", "*/*", "text/plain, application/openmetrics-text;q=0.5"] {
        let plain = get(accept);
        assert!(plain.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{plain}");
        assert!(!plain.contains("# EOF") && !plain.contains("# UNIT"), "{plain}");
        assert!(plain.contains("# TYPE twinwire_requests_total counter\n"), "{plain}");
        assert!(plain.contains("# HELP twinwire_requests_total "), "{plain}");
        assert!(plain.contains("# TYPE twinwire_stores gauge\n"), "{plain}");
        assert_eq!(figure(&plain, "twinwire_stores"), Some(3));
    }
    let open = get("text/plain;q=0.3, application/openmetrics-text;version=1.0.0;q=0.5");
    assert!(open.contains("# TYPE twinwire_requests counter\n") && open.ends_with("# EOF\n"), "{open}");
}

#[test]
fn a_head_is_answered_without_the_body() {
    let (_program, _clients, address) = start(&[]);
    let head = ask(&address, "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.contains("Content-Length: ") && !head.contains("Content-Length: 0\r\n"), "{head}");
}

#[test]
fn a_scrape_tells_of_the_build_and_of_the_process() {
    let (program, _clients, address) = start(&[]);
    let metrics = ask(&address, "GET /metrics HTTP/1.1\r\n\r\n");
    let build = format!("twinwire_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(figure(&metrics, &build), Some(1), "{metrics}");
    let real = |name: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in:\n{metrics}")).parse().unwrap()
    };
    assert!(real("process_cpu_seconds_total") > 0.0);
    assert!(real("process_resident_memory_bytes") > 1e6);
    assert!(real("process_virtual_memory_bytes") > real("process_resident_memory_bytes"));
    assert!((1.0..=program.descriptors() as f64 + 2.0).contains(&real("process_open_fds")));
    assert!(real("process_max_fds") > real("process_open_fds"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let age = now - real("process_start_time_seconds");
    assert!((-1.0..600.0).contains(&age), "{age}");
}

#[test]
fn life_5_a_flood_of_connections_costs_a_scraper_nothing_and_few_descriptors() {
    let (program, _clients, address) = start(&[]);
    let before = program.descriptors();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for is_held in [false, true] {
            let (address, stop) = (&address, &stop);
            scope.spawn(move || {
                let mut held = std::collections::VecDeque::new();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let stream = TcpStream::connect(address);
                    if is_held {
                        held.push_back(stream);
                        std::thread::sleep(Duration::from_millis(2));
                        held.truncate(400);
                    }
                }
            });
        }
        let scraped = std::panic::catch_unwind(|| {
            let mut most = 0;
            for turn in 0..100 {
                let reply = ask(&address, "GET /metrics HTTP/1.1\r\n\r\n");
                assert!(reply.starts_with("HTTP/1.1 200 "), "scrape {turn}: {reply}");
                most = most.max(program.descriptors());
            }
            most
        });
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let most = scraped.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(most <= before + 70, "{most} descriptors, and {before} before");
    });
}
