//! Several connections at once: that they are, that order, tries and digests are those of one, and that nothing right comes
//! twice. Against a server that does whatever the test says.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bootjack::fetch::{Attempt, Config, Fetcher, Terms, drive};
use bootjack::verify::{ChunkList, Sha256};

use crate::fetch::at;
use crate::odd_server::{Odd, Request, Stream, answer, head, silence};
use crate::resume::{SIZE, body, chunks, fetch, read_on, stopped_while_reading};

/// Bytes of a chunk of [`chunks`].
const CHUNK: usize = 100_000;

/// What is asked for; all of it, if nothing is said.
fn asked(request: &Request) -> Range<usize> {
    let range = request.header("range").map(|range| range.strip_prefix("bytes=").unwrap());
    let (from, last) = range.map_or(("0", ""), |range| range.split_once('-').unwrap());
    from.parse().unwrap()..last.parse::<usize>().map_or(SIZE, |last| last + 1)
}

/// The head of what is asked for.
fn begin(stream: &mut dyn Stream, request: &Request) -> Range<usize> {
    let wanted = asked(request);
    match request.header("range") {
        None => head(stream, "200 OK", &[], Some(SIZE as u64)),
        Some(_) => {
            let range = format!("content-range: bytes {}-{}/{SIZE}", wanted.start, wanted.end - 1);
            head(stream, "206 Partial Content", &[&range], Some(wanted.len() as u64));
        }
    }
    wanted
}

/// What is asked for.
fn part(stream: &mut dyn Stream, request: &Request, body: &[u8]) {
    let wanted = begin(stream, request);
    let _gone = stream.write_all(&body[wanted]);
}

fn over(connections: u8, all: &[u8]) -> Terms {
    Terms { connections, ..chunks(all) }
}

/// How often each chunk was sent whole.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<BTreeMap<usize, usize>>>);

impl Sent {
    /// These bytes are about to be sent: noted before, since whoever has the last of them may look at once.
    fn note(&self, sent: Range<usize>) {
        let whole = sent.start.div_ceil(CHUNK)..sent.end / CHUNK;
        let mut all = self.0.lock().unwrap();
        whole.for_each(|chunk| *all.entry(chunk).or_default() += 1);
    }

    #[track_caller]
    fn is_each_once_but(&self, again: &[usize]) {
        let all = self.0.lock().unwrap();
        let more: Vec<usize> = all.iter().filter(|(_, times)| **times > 1).map(|(chunk, _)| *chunk).collect();
        assert_eq!((all.len(), &more[..]), (SIZE / CHUNK, again), "{all:?}");
    }
}

/// Counts who is inside, and lets nobody go on before there were so many.
#[derive(Default)]
struct Together {
    now: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl Together {
    fn come(&self, wanted: usize) {
        let mut now = self.now.lock().unwrap();
        now.0 += 1;
        now.1 = now.1.max(now.0);
        self.changed.notify_all();
        // Where there never are as many, the test says so in its own words.
        let most = Duration::from_secs(5);
        drop(self.changed.wait_timeout_while(now, most, |now| now.1 < wanted).unwrap());
    }

    /// Waits until so many are inside, and a second more for another one.
    fn come_to(&self, wanted: usize) {
        let now = self.now.lock().unwrap();
        let now =
            self.changed.wait_timeout_while(now, Duration::from_secs(5), |now| now.0 < wanted).unwrap().0;
        drop(self.changed.wait_timeout_while(now, Duration::from_secs(1), |now| now.0 == wanted).unwrap());
    }

    fn go(&self) {
        self.now.lock().unwrap().0 -= 1;
        self.changed.notify_all();
    }

    fn most(&self) -> usize {
        self.now.lock().unwrap().1
    }

    /// Whether all have gone within some seconds.
    fn are_gone(&self) -> bool {
        let now = self.now.lock().unwrap();
        self.changed.wait_timeout_while(now, Duration::from_secs(5), |now| now.0 > 0).unwrap().0.0 == 0
    }
}

#[test]
fn so_many_connections_are_open_at_once_and_never_more() {
    for connections in [2_usize, 3, 4, 8] {
        let all = body(1);
        let (copy, together, sent) = (all.clone(), Arc::new(Together::default()), Sent::default());
        let (inside, noted) = (together.clone(), sent.clone());
        let server = Odd::serve(move |request, stream| {
            inside.come(connections);
            let wanted = begin(stream, request);
            // The last byte is what lets the client ask for more.
            inside.go();
            noted.note(wanted.clone());
            let _gone = stream.write_all(&copy[wanted.clone()]);
        });
        fetch(&[&server.url("/r")], &over(connections as u8, &all), None).is(&all);
        assert_eq!(together.most(), connections);
        sent.is_each_once_but(&[]);
    }
}

#[test]
fn one_connection_asks_for_all_of_it_as_before() {
    let all = body(1);
    let copy = all.clone();
    let server = Odd::serve(move |request, stream| part(stream, request, &copy));
    for (connections, terms) in [(0, chunks(&all)), (1, chunks(&all)), (4, Terms::default())] {
        fetch(&[&server.url("/r")], &Terms { connections, ..terms }, None).is(&all);
    }
    let seen = server.seen();
    assert!(seen.len() == 3 && seen.iter().all(|request| request.header("range").is_none()), "{seen:?}");
}

#[test]
fn chunks_are_handed_out_in_order_whichever_comes_first() {
    let all = body(1);
    let (copy, later) = (all.clone(), Arc::new((Mutex::new(0), Condvar::new())));
    let server = Odd::serve(move |request, stream| {
        let wanted = begin(stream, request);
        let (sent, changed) = &*later;
        // The second chunk is the last of those that are asked for with it.
        if wanted.start == CHUNK {
            let sent = sent.lock().unwrap();
            drop(changed.wait_timeout_while(sent, Duration::from_secs(5), |sent| *sent < 4).unwrap());
        }
        let _gone = stream.write_all(&copy[wanted]);
        *sent.lock().unwrap() += 1;
        changed.notify_all();
    });
    let done = fetch(&[&server.url("/r")], &over(4, &all), None);
    done.is(&all);
    assert!(done.said.is_empty(), "{:?}", done.said);
}

#[test]
fn the_connections_are_used_again_where_the_server_keeps_them() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/r", listener.local_addr().unwrap());
    let (all, made, asked) = (body(1), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (copy, connections, requests) = (all.clone(), made.clone(), asked.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            connections.fetch_add(1, Ordering::SeqCst);
            let (copy, requests) = (copy.clone(), requests.clone());
            std::thread::spawn(move || keeps_alive(stream.unwrap(), &copy, &requests));
        }
    });
    fetch(&[&url], &over(3, &all), None).is(&all);
    // The stream's first one, and those of three threads.
    assert!(made.load(Ordering::SeqCst) <= 4, "{made:?} connections");
    assert_eq!(asked.load(Ordering::SeqCst), SIZE / CHUNK);
}

/// Answers one request after the other.
fn keeps_alive(stream: TcpStream, body: &[u8], requests: &AtomicUsize) {
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    let mut range = 0..0;
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|n| n > 0) {
        if let Some((from, last)) =
            line.strip_prefix("range: bytes=").and_then(|range| range.trim().split_once('-'))
        {
            range = from.parse().unwrap()..last.parse::<usize>().map_or(body.len(), |last| last + 1);
        }
        if line == "\r\n" {
            requests.fetch_add(1, Ordering::SeqCst);
            let (first, last, all) = (range.start, range.end - 1, body.len());
            let head =
                format!("content-length: {}\r\ncontent-range: bytes {first}-{last}/{all}", range.len());
            let _gone = write!(stream, "HTTP/1.1 206 Partial Content\r\n{head}\r\n\r\n");
            let _gone = stream.write_all(&body[range.clone()]);
        }
        line.clear();
    }
}

#[test]
fn a_connection_that_breaks_costs_what_it_had_not_finished_and_nothing_else() {
    let all = body(1);
    let (copy, sent, times) = (all.clone(), Sent::default(), AtomicUsize::new(0));
    let noted = sent.clone();
    let server = Odd::serve(move |request, stream| {
        let wanted = begin(stream, request);
        // The third chunk breaks in its middle, once.
        let breaks = wanted.start == 2 * CHUNK && times.fetch_add(1, Ordering::SeqCst) == 0;
        let until = if breaks { wanted.start + CHUNK / 2 } else { wanted.end };
        noted.note(wanted.start..until);
        let _gone = stream.write_all(&copy[wanted.start..until]);
    });
    let done = fetch(&[&server.url("/r")], &over(3, &all), None);
    done.is(&all);
    sent.is_each_once_but(&[]);
    let [what] = &done.said[..] else { panic!("{:?}", done.said) };
    assert!(what.error.ends_with("after 250000 of 300000 bytes") && what.from == 200_000, "{what:?}");
    assert!(what.wait.is_zero() && !what.wrong_bytes, "{what:?}");
}

#[test]
fn when_all_have_failed_it_goes_on_as_one_stream_does_and_then_over_all_again() {
    let all = body(1);
    let (copy, sent) = (all.clone(), Sent::default());
    let noted = sent.clone();
    let server = Odd::serve(move |request, stream| {
        // The first chunk comes, then nothing for a while, then everything.
        if (1..4).contains(&request.number) {
            return answer(stream, "503 Later", &[], b"");
        }
        let wanted = begin(stream, request);
        noted.note(wanted.clone());
        let _gone = stream.write_all(&copy[wanted.clone()]);
    });
    let done = fetch(&[&server.url("/r")], &over(3, &all), None);
    done.is(&all);
    sent.is_each_once_but(&[]);
    assert!(done.said.iter().any(|what| what.wait >= Duration::from_millis(250)), "{:?}", done.said);
    // It did not stay with one.
    assert!(server.seen().iter().all(|request| {
        request.header("range").is_some_and(|range| !range.ends_with('-') || range.ends_with("900000-"))
    }));
}

#[test]
fn another_mirror_takes_over_where_all_connections_to_one_have_failed() {
    let all = body(1);
    let (copy, sent) = (all.clone(), Sent::default());
    let (first, second) = (sent.clone(), sent.clone());
    let broken = Odd::serve(move |request, stream| match request.number {
        0..3 => {
            let wanted = begin(stream, request);
            first.note(wanted.clone());
            let _gone = stream.write_all(&copy[wanted.clone()]);
        }
        _ => answer(stream, "404 Gone", &[], b""),
    });
    let copy = all.clone();
    let good = Odd::serve(move |request, stream| {
        let wanted = begin(stream, request);
        second.note(wanted.clone());
        let _gone = stream.write_all(&copy[wanted.clone()]);
    });
    let done = fetch(&[&broken.url("/r"), &good.url("/r")], &over(3, &all), None);
    done.is(&all);
    sent.is_each_once_but(&[]);
    assert!(good.seen().iter().all(|request| request.header("range").is_some()), "{:?}", good.seen());
}

#[test]
fn a_wrong_chunk_is_blamed_as_ever_and_comes_again_alone() {
    for stays in [false, true] {
        let all = body(1);
        let (copy, sent) = (all.clone(), Sent::default());
        let (first, second) = (sent.clone(), sent.clone());
        let mut flipped = all.clone();
        flipped[450_000] ^= 1;
        let times = AtomicUsize::new(0);
        let bad = Odd::serve(move |request, stream| {
            let wanted = begin(stream, request);
            let hit = wanted.contains(&450_000) && (stays || times.fetch_add(1, Ordering::SeqCst) == 0);
            first.note(wanted.clone());
            let _gone = stream.write_all(&if hit { &flipped } else { &copy }[wanted.clone()]);
        });
        let copy = all.clone();
        let good = Odd::serve(move |request, stream| {
            let wanted = begin(stream, request);
            second.note(wanted.clone());
            let _gone = stream.write_all(&copy[wanted.clone()]);
        });
        let (bad_url, good_url) = (bad.url("/r"), good.url("/r"));
        let mirrors: &[&str] = if stays { &[&bad_url, &good_url] } else { &[&bad_url] };
        let done = fetch(mirrors, &over(4, &all), None);
        done.is(&all);
        if stays {
            // What was under way at the mirror that was left is not waited for.
            let times = sent.0.lock().unwrap().clone();
            assert!((0..4).all(|chunk| times[&chunk] == 1) && times[&4] == 2, "{times:?}");
        } else {
            sent.is_each_once_but(&[4]);
        }
        let [what] = &done.said[..] else { panic!("{:?}", done.said) };
        assert!(what.wrong_bytes && what.from == 400_000 && what.location == at(&bad_url), "{what:?}");
        assert!(what.error.contains("chunk 5 of 10 (bytes 400000 to 500000): SHA-256"), "{what:?}");
    }
}

#[test]
fn the_same_wrong_chunk_twice_is_the_end_where_there_is_no_other_mirror() {
    let all = body(1);
    let mut flipped = all.clone();
    flipped[450_000] ^= 1;
    let server = Odd::serve(move |request, stream| part(stream, request, &flipped));
    let why = fetch(&[&server.url("/r")], &over(4, &all), None).bytes.unwrap_err();
    assert!(why.contains("chunk 5 of 10 (bytes 400000 to 500000): SHA-256"), "{why}");
    let again = server.seen().iter().filter(|request| asked(request).start == 400_000).count();
    assert_eq!(again, 2);
}

#[test]
fn a_server_that_sends_everything_is_read_over_one_connection() {
    let all = body(1);
    let copy = all.clone();
    let server = Odd::serve(move |_, stream| answer(stream, "200 OK", &[], &copy));
    let done = fetch(&[&server.url("/r")], &over(4, &all), None);
    done.is(&all);
    assert_eq!((server.seen().len(), done.said.len()), (1, 0));
    // One that does so later loses nothing but time.
    let copy = all.clone();
    let server = Odd::serve(move |request, stream| match request.number {
        0 => part(stream, request, &copy),
        _ => answer(stream, "200 OK", &[], &copy),
    });
    let done = fetch(&[&server.url("/r")], &over(4, &all), None);
    done.is(&all);
    assert!(done.said.iter().any(|what| what.error.ends_with("it sends everything")), "{:?}", done.said);
    assert!(server.seen().len() <= 6, "{}", server.seen().len());
}

#[test]
fn a_part_that_is_not_the_one_that_was_asked_for_is_not_believed() {
    let all = body(1);
    let copy = all.clone();
    let server = Odd::serve(move |request, stream| match request.header("range") {
        Some(_) => {
            let wanted = asked(request);
            let range = format!("content-range: bytes {}-{}/{SIZE}", wanted.start + 1, wanted.end);
            answer(stream, "206 Partial Content", &[&range], &copy[wanted]);
        }
        None => answer(stream, "200 OK", &[], &copy),
    });
    let done = fetch(&[&server.url("/r")], &over(4, &all), None);
    done.is(&all);
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn a_server_that_sends_less_than_was_asked_for_is_asked_for_the_rest() {
    let all = body(1);
    let copy = all.clone();
    let server = Odd::serve(move |request, stream| {
        let wanted = asked(request);
        let until = wanted.end.min(wanted.start + 70_000);
        let range = format!("content-range: bytes {}-{}/{SIZE}", wanted.start, until - 1);
        answer(stream, "206 Partial Content", &[&range], &copy[wanted.start..until]);
    });
    let done = fetch(&[&server.url("/r")], &over(4, &all), None);
    done.is(&all);
    assert_eq!(server.seen().len(), 2 * SIZE / CHUNK);
}

#[test]
fn a_connection_that_stalls_holds_the_others_no_longer_than_a_stall() {
    let all = body(1);
    let (copy, sent) = (all.clone(), Sent::default());
    let noted = sent.clone();
    let server = Odd::serve(move |request, stream| {
        let wanted = begin(stream, request);
        if request.number == 2 {
            let _there = stream.flush();
            return silence(stream);
        }
        noted.note(wanted.clone());
        let _gone = stream.write_all(&copy[wanted.clone()]);
    });
    let begun = Instant::now();
    let done = fetch(&[&server.url("/r")], &over(3, &all), None);
    done.is(&all);
    sent.is_each_once_but(&[]);
    let [what] = &done.said[..] else { panic!("{:?}", done.said) };
    assert!(what.error.contains("nothing came for "), "{what:?}");
    // The budget of these tests is 20 s; what was held up to the end of it would have been waited for.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn a_stop_is_heard_while_all_stall_and_no_connection_stays() {
    let together = Arc::new(Together::default());
    let inside = together.clone();
    let took = stopped_while_reading(move |tell| {
        let all = body(1);
        let terms = over(4, &all);
        let server = Odd::serve(move |request, stream| {
            let wanted = begin(stream, request);
            if request.number > 0 {
                inside.come(0);
                let _there = stream.flush();
                silence(stream);
                return inside.go();
            }
            let _gone = stream.write_all(&all[wanted]);
        });
        read_on(&server.url("/r"), &terms, CHUNK, tell)
    });
    assert!(took < Duration::from_millis(250), "{took:?}");
    assert!(together.most() >= 3 && together.are_gone(), "{} connections", together.most());
}

#[test]
fn a_reader_that_takes_its_time_has_no_more_fetched_than_there_is_room_for() {
    // As `pack` never makes them, but as a list may have them.
    let all: Vec<u8> = std::iter::repeat_n(body(1), 160).flatten().collect();
    let (list, _) = ChunkList::of(all.chunks(8 << 20).map(|chunk| (chunk.len() as u64, Sha256::of(chunk))));
    let terms = Terms { connections: 2, chunks: Some(Arc::new(list)), ..Terms::default() };
    let (copy, total) = (Arc::new(all), 160 * SIZE);
    let (body, together) = (copy.clone(), Arc::new(Together::default()));
    let inside = together.clone();
    let server = Odd::serve(move |request, stream| {
        let range = request.header("range").unwrap().strip_prefix("bytes=").unwrap().to_owned();
        let (from, last) = range.split_once('-').unwrap();
        let (from, last): (usize, usize) = (from.parse().unwrap(), last.parse().unwrap_or(total - 1));
        let range = format!("content-range: bytes {from}-{last}/{total}");
        answer(stream, "206 Partial Content", &[&range], &body[from..=last]);
        inside.come(0);
    });
    let fetcher = Fetcher::new(&Config::default()).unwrap();
    let location = [at(&server.url("/r"))];
    let go_on = |_| ControlFlow::Continue(());
    let done = drive(&location, Duration::from_secs(20), &go_on, |attempt| {
        let mut source = attempt.open(&fetcher, &terms)?;
        let mut bytes = vec![0; 1000];
        source.reader.read_exact(&mut bytes).unwrap();
        // Two connections with 8 MiB each, and the chunk that is handed out: more is not asked for, whatever it waits.
        together.come_to(3);
        assert_eq!(server.seen().len(), 3, "{:?}", server.seen());
        source.reader.read_to_end(&mut bytes).unwrap();
        assert!(bytes == *copy);
        Ok::<_, Attempt<String>>(())
    });
    done.unwrap();
}
