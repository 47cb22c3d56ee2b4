//! A server on loopback that can be told to misbehave: cut a body, be gone, answer 404. Guests reach it as 10.0.2.2.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::lab::{Initrd, Kernel};

/// What the next answer for a path will be; the last one stays.
#[derive(Clone)]
pub enum Answer {
    /// The whole body.
    Good(Arc<Vec<u8>>),
    /// The right length in the header, but the connection ends after so many bytes of the body.
    Cut(Arc<Vec<u8>>, usize),
    /// So many bytes of the body, and then silence on an open connection.
    Hang(Arc<Vec<u8>>, usize),
    Status(u16),
}

/// What was asked for so far, and a bell.
type Asked = Arc<(Mutex<Vec<String>>, Condvar)>;

type Plan = Arc<Mutex<BTreeMap<String, Vec<Answer>>>>;

pub struct Server {
    port: u16,
    plan: Plan,
    asked: Asked,
}

impl Server {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (plan, asked) = (Plan::default(), Asked::default());
        let (answers, log) = (Arc::clone(&plan), Arc::clone(&asked));
        // Ends with the test.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, log) = (Arc::clone(&answers), Arc::clone(&log));
                std::thread::spawn(move || serve(&stream, &answers, &log));
            }
        });
        Self { port, plan, asked }
    }

    /// What to answer for `/name`, in order.
    pub fn put(&self, name: &str, answers: &[Answer]) -> String {
        self.plan.lock().expect("no panic in the server").insert(format!("/{name}"), answers.to_vec());
        self.url(name)
    }

    /// A text, as often as it is asked for.
    pub fn text(&self, name: &str, text: &str) -> String {
        self.put(name, &[Answer::Good(Arc::new(text.as_bytes().to_vec()))])
    }

    /// Serves this catalog: an initrd, and the words that make it fetch it.
    pub fn menu(&self, kernel: Kernel, catalog: &str) -> (Initrd, String) {
        let words = format!("bootjack.catalog={}", self.text("catalog.toml", catalog));
        (Initrd::new(kernel, &["--drivers", "net"]), words)
    }

    /// Waits until somebody has asked for this path.
    pub fn wait_for(&self, path: &str) {
        let (asked, news) = &*self.asked;
        let asked = asked.lock().expect("no panic in the server");
        let missing = |asked: &mut Vec<String>| !asked.iter().any(|p| p == path);
        let patience = Duration::from_secs(60);
        let (_asked, late) =
            news.wait_timeout_while(asked, patience, missing).expect("no panic in the server");
        assert!(!late.timed_out(), "nobody asks for {path}");
    }

    /// On this host's loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://10.0.2.2:{}/{name}", self.port)
    }

    /// Paths in the order in which they were asked for.
    pub fn asked(&self) -> Vec<String> {
        self.asked.0.lock().expect("no panic in the server").clone()
    }
}

fn serve(stream: &TcpStream, plan: &Plan, asked: &(Mutex<Vec<String>>, Condvar)) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    // One connection, one answer: the guest connects again.
    let Some(request) = lines.next() else { return };
    lines.take_while(|l| !l.is_empty()).for_each(drop);
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or("").to_owned());
    asked.0.lock().expect("no panic in the server").push(path.clone());
    asked.1.notify_all();
    let answer = {
        let mut plan = plan.lock().expect("no panic in the server");
        match plan.get_mut(&path) {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
            None => Answer::Status(404),
        }
    };
    let (status, body, until, hang) = match answer {
        Answer::Good(body) => (200, Arc::clone(&body), body.len(), false),
        Answer::Cut(body, until) => (200, body, until, false),
        Answer::Hang(body, until) => (200, body, until, true),
        Answer::Status(status) => (status, Arc::default(), 0, false),
    };
    let head = format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let mut stream = stream;
    // The guest may be gone, or be cut off: what it makes of that is what is tested.
    drop(stream.write_all(head.as_bytes()));
    if method != "HEAD" {
        drop(stream.write_all(&body[..until]));
    }
    if hang {
        // Until the guest closes it.
        drop(std::io::Read::read(&mut stream, &mut [0]));
    }
}
