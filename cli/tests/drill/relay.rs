//! Links that carry, and that don't, with real connections.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::support::{Fleet, becomes};

/// How long nothing must arrive to count as nothing.
const SILENCE: Duration = Duration::from_millis(400);

struct Line {
    fleet: Fleet,
    listener: TcpListener,
    port: u16,
}

impl Line {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let target = listener.local_addr().expect("its address").port();
        let mut fleet = Fleet::new();
        let port = fleet.relay("a", target);
        Self {
            fleet,
            listener,
            port,
        }
    }

    /// Both ends of a new connection.
    fn connect(&self) -> (TcpStream, TcpStream) {
        let client = self.client();
        let (server, _address) = self.listener.accept().expect("a connection");
        for end in [&client, &server] {
            end.set_read_timeout(Some(Duration::from_secs(10)))
                .expect("set");
        }
        (client, server)
    }

    fn client(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).expect("the relay accepts")
    }

    fn set(&self, mode: &str) {
        self.fleet.drill("cut", &["a/store", "--mode", mode]).good();
    }
}

fn says(from: &mut TcpStream, to: &mut TcpStream, text: &str) {
    from.write_all(text.as_bytes()).expect("sent");
    hears(to, text);
}

fn hears(at: &mut TcpStream, text: &str) {
    let mut heard = vec![0; text.len()];
    at.read_exact(&mut heard).expect("heard");
    assert_eq!(String::from_utf8_lossy(&heard), text);
}

#[track_caller]
fn hears_nothing(at: &mut TcpStream) {
    at.set_read_timeout(Some(SILENCE)).expect("set");
    let heard = at.read(&mut [0; 64]);
    at.set_read_timeout(Some(Duration::from_secs(10)))
        .expect("set");
    let silent = heard
        .as_ref()
        .is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    assert!(silent, "{heard:?}");
}

#[test]
fn everything_is_carried_both_ways_and_so_is_the_end() {
    let line = Line::new();
    let (mut client, mut server) = line.connect();
    says(&mut client, &mut server, "question");
    says(&mut server, &mut client, "answer");
    // Half of a connection may end.
    client.shutdown(std::net::Shutdown::Write).expect("ended");
    assert_eq!(server.read(&mut [0; 8]).expect("the end"), 0);
    says(&mut server, &mut client, "more");
    drop(server);
    assert_eq!(client.read(&mut [0; 8]).expect("the end"), 0);
}

#[test]
fn more_than_any_buffer_is_carried() {
    let line = Line::new();
    let (mut client, mut server) = line.connect();
    let sent: Vec<u8> = (0..4_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let copy = sent.clone();
    let writer = std::thread::spawn(move || {
        client.write_all(&copy).expect("sent");
        client
    });
    let mut heard = vec![0; sent.len()];
    server.read_exact(&mut heard).expect("heard");
    assert!(heard == sent);
    writer.join().expect("it wrote");
}

#[test]
fn a_cut_keeps_connections_and_bytes_arrive_after_it() {
    let line = Line::new();
    let (mut client, mut server) = line.connect();
    says(&mut client, &mut server, "before");
    line.set("drop");
    client.write_all(b"lost? ").expect("sent");
    server.write_all(b"no").expect("sent");
    hears_nothing(&mut server);
    hears_nothing(&mut client);
    client.write_all(b"late").expect("sent");
    line.set("pass");
    hears(&mut server, "lost? late");
    hears(&mut client, "no");
    says(&mut client, &mut server, "as before");
}

#[test]
fn one_way_is_cut_and_the_other_carries() {
    let line = Line::new();
    let (mut client, mut server) = line.connect();
    line.set("drop-up");
    client.write_all(b"question").expect("sent");
    hears_nothing(&mut server);
    says(&mut server, &mut client, "told");
    line.set("drop-down");
    hears(&mut server, "question");
    server.write_all(b"answer").expect("sent");
    hears_nothing(&mut client);
    says(&mut client, &mut server, "again");
    line.set("pass");
    hears(&mut client, "answer");
}

/// The write that arrives long after its sender has given up is the one that a fence is for.
#[test]
fn what_was_sent_before_its_sender_left_arrives_after_the_cut() {
    let line = Line::new();
    let (mut client, mut server) = line.connect();
    line.set("drop");
    client.write_all(b"a late write").expect("sent");
    drop(client);
    hears_nothing(&mut server);
    line.set("pass");
    hears(&mut server, "a late write");
    assert_eq!(server.read(&mut [0; 8]).expect("the end"), 0);
}

#[test]
fn nobody_hears_of_a_connection_that_is_made_during_a_cut_before_it_ends() {
    for mode in ["drop", "drop-up", "drop-down"] {
        let line = Line::new();
        line.set(mode);
        let mut client = line.client();
        client.write_all(b"hello").expect("sent");
        line.listener.set_nonblocking(true).expect("set");
        std::thread::sleep(SILENCE);
        let early = line.listener.accept();
        assert!(
            early
                .as_ref()
                .is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
            "{mode}: {early:?}"
        );
        line.listener.set_nonblocking(false).expect("set");
        line.set("pass");
        let (mut server, _address) = line.listener.accept().expect("a connection");
        hears(&mut server, "hello");
    }
}

#[test]
fn refusing_resets_what_is_there_and_what_comes() {
    let line = Line::new();
    let (mut client, mut server) = line.connect();
    says(&mut client, &mut server, "before");
    line.set("refuse");
    for end in [&mut client, &mut server] {
        let lost = end.read(&mut [0; 8]);
        assert!(
            lost.as_ref()
                .is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
            "{lost:?}"
        );
    }
    becomes("new connections are reset", || {
        TcpStream::connect(("127.0.0.1", line.port))
            .and_then(|mut client| client.read(&mut [0; 8]))
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
    });
    line.set("pass");
    let (mut client, mut server) = line.connect();
    says(&mut client, &mut server, "again");
}

#[test]
fn a_target_that_is_away_is_a_lost_connection() {
    let line = Line::new();
    let Line {
        fleet: _fleet,
        listener,
        port,
    } = line;
    drop(listener);
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("the relay accepts");
    let lost = client.read(&mut [0; 8]);
    assert!(
        lost.as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
        "{lost:?}"
    );
}

#[test]
fn a_second_relay_does_not_take_the_place_of_one_that_lives() {
    let line = Line::new();
    let socket = line.fleet.path().join("links/a.sock");
    let port = helium_testkit::free_port();
    let link = format!("store=127.0.0.1:{port}->127.0.0.1:1");
    let socket = socket.display().to_string();
    let said = crate::support::drill(&["relay", "--control", &socket, "--link", &link]);
    said.refused("H066");
    let (mut client, mut server) = line.connect();
    says(&mut client, &mut server, "still here");
}
