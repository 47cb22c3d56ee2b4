//! What happens when a connection breaks in the middle: where the next try goes on, what of the first one is kept, and when
//! all of it has to come anew. Against a server that does whatever the test says.

use std::io::{ErrorKind, Read as _};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bootjack::fetch::{
    Attempt, Config, Event, Exhausted, Fetcher, Flow, Location, Pace, Retrying, Terms, drive,
};
use bootjack::verify::{ChunkList, Sha256};

use crate::fetch::at;
use crate::odd_server::{Odd, Request, Stream, answer, head, silence};

pub const SIZE: usize = 1_000_000;

/// Never the same twice, and the same in each run.
pub fn body(seed: u8) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let next = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 56) as u8
    };
    (0..SIZE).map(|_| next(&mut state)).collect()
}

/// The first byte that is asked for.
fn first(request: &Request) -> usize {
    let range = request.header("range").map(|range| range.strip_prefix("bytes=").unwrap());
    range.map_or(0, |range| range.strip_suffix('-').unwrap().parse().unwrap())
}

/// The rest of a body, as it is asked for, up to `until`; what comes then is not said.
fn part(stream: &mut dyn Stream, request: &Request, body: &[u8], headers: &[&str], until: usize) {
    let from = first(request);
    let sent = &body[from..until.max(from)];
    if from == 0 {
        head(stream, "200 OK", headers, Some(body.len() as u64));
    } else {
        let range = format!("content-range: bytes {from}-{}/{}", body.len() - 1, body.len());
        let headers: Vec<&str> = headers.iter().copied().chain([range.as_str()]).collect();
        head(stream, "206 Partial Content", &headers, Some((body.len() - from) as u64));
    }
    let _gone = stream.write_all(sent);
}

/// What a fetch came to: the bytes or why not, and what was said on the way.
pub struct Done {
    pub bytes: Result<Vec<u8>, String>,
    pub said: Vec<Retrying>,
}

pub fn fetch(mirrors: &[&str], terms: &Terms, digest: Option<&[u8]>) -> Done {
    fetch_by(Pace::default(), mirrors, terms, digest)
}

fn fetch_by(pace: Pace, mirrors: &[&str], terms: &Terms, digest: Option<&[u8]>) -> Done {
    let mirrors: Vec<Location> = mirrors.iter().map(|url| at(url)).collect();
    let fetcher = Fetcher::new(&Config { pace, ..Config::default() }).unwrap();
    let said = Mutex::new(vec![]);
    let on = |event: Event| {
        if let Event::Retry(what) = event {
            said.lock().unwrap().push(*what);
        }
        ControlFlow::Continue(())
    };
    let terms = Terms { digest: digest.is_some(), ..terms.clone() };
    let bytes = drive(&mirrors, Duration::from_secs(20), &on, |attempt| {
        let mut source = attempt.open(&fetcher, &terms)?;
        let mut bytes = Vec::new();
        match source.reader.read_to_end(&mut bytes) {
            Ok(_) if digest.is_some_and(|digest| digest != bytes) => {
                Err(Attempt::<String>::Permanent("the digest does not match".into()))
            }
            Ok(_) => Ok(bytes),
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Other);
                Err(Attempt::fetching(source.flow.failure().unwrap(), source.flow.bytes()))
            }
        }
    });
    let bytes = bytes.map_err(|why: Exhausted<String>| why.to_string());
    Done { bytes, said: said.into_inner().unwrap() }
}

impl Done {
    /// From where each next try went on.
    fn from(&self) -> Vec<u64> {
        self.said.iter().map(|what| what.from).collect()
    }

    #[track_caller]
    pub fn is(&self, body: &[u8]) {
        match &self.bytes {
            Ok(bytes) => assert!(bytes == body, "{} bytes, others than it has: {:?}", bytes.len(), self.said),
            Err(why) => panic!("{why}: {:?}", self.said),
        }
    }
}

/// A server that breaks off once after `cut` bytes and then sends the rest by `rest`.
fn breaks_once(
    cut: usize,
    headers: &'static [&'static str],
    rest: impl Fn(&Request, &mut dyn Stream, &[u8]) + Send + Sync + 'static,
) -> (Odd, Vec<u8>) {
    let all = body(1);
    let copy = all.clone();
    let server = Odd::serve(move |request, stream| match request.number {
        0 => part(stream, request, &all, headers, cut),
        _ => rest(request, stream, &all),
    });
    (server, copy)
}

#[test]
fn a_broken_body_goes_on_where_it_broke_if_the_server_still_has_the_same() {
    const TAG: &[&str] = &["etag: \"one\""];
    let (server, all) =
        breaks_once(300_000, TAG, |request, stream, all| part(stream, request, all, TAG, SIZE));
    let done = fetch(&[&server.url("/r")], &Terms::default(), None);
    done.is(&all);
    assert_eq!(done.from(), [300_000]);
    assert!(done.said[0].error.ends_with("after 300000 of 1000000 bytes"), "{:?}", done.said);
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].header("range"), seen[0].header("if-range")), (None, None));
    assert_eq!(
        (seen[1].header("range"), seen[1].header("if-range")),
        (Some("bytes=300000-"), Some("\"one\""))
    );
    assert_eq!(seen[1].header("accept-encoding"), Some("identity"));
}

#[test]
fn a_time_of_change_will_do_where_it_is_sure_and_else_not() {
    const OLD: &[&str] =
        &["last-modified: Sun, 06 Nov 1994 08:49:37 GMT", "date: Sun, 06 Nov 1994 09:00:00 GMT"];
    const NOW: &[&str] =
        &["last-modified: Sun, 06 Nov 1994 08:49:37 GMT", "date: Sun, 06 Nov 1994 08:49:37 GMT"];
    for (headers, from) in [(OLD, 300_000), (NOW, 0)] {
        let (server, all) =
            breaks_once(300_000, headers, |request, stream, all| part(stream, request, all, OLD, SIZE));
        let done = fetch(&[&server.url("/r")], &Terms::default(), None);
        done.is(&all);
        assert_eq!(done.said[0].from, from, "{headers:?}");
        let wanted = (from > 0).then_some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(server.seen().last().unwrap().header("if-range"), wanted);
    }
}

#[test]
fn a_weak_tag_is_never_asked_for_and_goes_on_only_under_a_digest() {
    const WEAK: &[&str] = &["etag: W/\"one\""];
    for with_digest in [false, true] {
        let (server, all) =
            breaks_once(300_000, WEAK, |request, stream, all| part(stream, request, all, WEAK, SIZE));
        let done = fetch(&[&server.url("/r")], &Terms::default(), with_digest.then_some(&all[..]));
        done.is(&all);
        assert_eq!(done.said[0].from, if with_digest { 300_000 } else { 0 });
        assert!(server.seen().iter().all(|request| request.header("if-range").is_none()));
    }
}

#[test]
fn a_server_without_ranges_is_asked_for_all_of_it() {
    const TAG: &[&str] = &["etag: \"one\""];
    let (server, all) = breaks_once(300_000, TAG, |_, stream, all| answer(stream, "200 OK", TAG, all));
    let done = fetch(&[&server.url("/r")], &Terms::default(), None);
    done.is(&all);
    assert_eq!(done.from(), [300_000, 0]);
    let why = "asked for byte 300000 on, it sends everything: starting over";
    assert!(done.said[1].error.ends_with(why), "{:?}", done.said);
}

#[test]
fn a_server_without_ranges_that_always_breaks_at_the_same_byte_is_given_up() {
    const TAG: &[&str] = &["etag: \"one\""];
    let all = body(1);
    let server = Odd::serve(move |_, stream| {
        head(stream, "200 OK", TAG, Some(SIZE as u64));
        let _gone = stream.write_all(&all[..300_000]);
    });
    let done = fetch(&[&server.url("/r")], &Terms::default(), None);
    let why = done.bytes.unwrap_err();
    assert!(why.contains("after 300000 of 1000000 bytes (gave up after "), "{why}");
}

#[test]
fn ranges_that_are_not_those_asked_for_are_not_believed() {
    const TAG: &[&str] = &["etag: \"one\""];
    /// What it says of itself is not what was asked for.
    type Rest = fn(&mut dyn Stream, &[u8]);
    let wrong: [(&str, Rest); 5] = [
        ("it sends those from 299999 on", |stream, all| {
            answer(
                stream,
                "206 Partial Content",
                &["etag: \"one\"", "content-range: bytes 299999-999999/1000000"],
                &all[299_999..],
            );
        }),
        ("it does not say which bytes it sends", |stream, all| {
            answer(stream, "206 Partial Content", TAG, &all[300_000..]);
        }),
        ("it does not say which bytes it sends", |stream, all| {
            answer(
                stream,
                "206 Partial Content",
                &["content-range: bytes 300000-1000000/1000000"],
                &all[300_000..],
            );
        }),
        ("bytes 300000 to 999999 are not as many as it sends", |stream, all| {
            answer(
                stream,
                "206 Partial Content",
                &["content-range: bytes 300000-999999/1000000"],
                &all[300_001..],
            );
        }),
        ("it was changed in between", |stream, all| {
            answer(
                stream,
                "206 Partial Content",
                &["etag: \"two\"", "content-range: bytes 300000-999999/1000000"],
                &all[300_000..],
            );
        }),
    ];
    for (why, rest) in wrong {
        let (server, all) = breaks_once(300_000, TAG, move |request, stream, all| match first(request) {
            0 => answer(stream, "200 OK", TAG, all),
            _ => rest(stream, all),
        });
        let done = fetch(&[&server.url("/r")], &Terms::default(), None);
        done.is(&all);
        assert_eq!(done.from(), [300_000, 0], "{why}");
        assert!(done.said[1].error.contains(why), "{why}: {:?}", done.said);
    }
}

#[test]
fn what_was_changed_in_between_comes_anew_and_nothing_is_mixed() {
    let (old, new) = (body(1), body(2));
    let then = new.clone();
    let server = Odd::serve(move |request, stream| match request.number {
        0 => part(stream, request, &old, &["etag: \"one\""], 300_000),
        // It does as RFC 9110 says: another version, so all of it.
        _ => answer(stream, "200 OK", &["etag: \"two\""], &new),
    });
    let done = fetch(&[&server.url("/r")], &Terms::default(), None);
    done.is(&then);
    assert!(done.said[1].error.contains("it was changed in between"), "{:?}", done.said);
}

#[test]
fn a_length_that_changes_is_another_version() {
    const TAG: &[&str] = &["etag: \"one\""];
    let (server, all) = breaks_once(300_000, TAG, |request, stream, all| match first(request) {
        0 => answer(stream, "200 OK", TAG, all),
        from => {
            let range = format!("content-range: bytes {from}-1000000/1000001");
            head(stream, "206 Partial Content", &["etag: \"one\"", &range], Some(700_001));
        }
    });
    let done = fetch(&[&server.url("/r")], &Terms::default(), None);
    done.is(&all);
    let why = "it has 1000001 bytes, those before were of 1000000: starting over";
    assert!(done.said[1].error.ends_with(why), "{:?}", done.said);
}

#[test]
fn no_such_byte_is_the_end_if_all_came_and_else_another_version() {
    const TAG: &[&str] = &["etag: \"one\""];
    for (total, from) in [(SIZE, vec![SIZE as u64]), (SIZE - 1, vec![SIZE as u64, 0])] {
        let all = body(1);
        let copy = all.clone();
        let server = Odd::serve(move |request, stream| match (request.number, first(request)) {
            (0, _) => {
                // In pieces, so that its end alone says how long it is; that is cut off.
                head(stream, "200 OK", &["etag: \"one\"", "transfer-encoding: chunked"], None);
                let _gone = write!(stream, "{SIZE:x}\r\n");
                let _gone = stream.write_all(&all);
            }
            (_, 0) => answer(stream, "200 OK", TAG, &all),
            _ => {
                let range = format!("content-range: bytes */{total}");
                answer(stream, "416 Range Not Satisfiable", &[&range], b"none");
            }
        });
        let done = fetch(&[&server.url("/r")], &Terms::default(), None);
        done.is(&copy);
        assert_eq!(done.from(), from);
    }
}

#[test]
fn a_server_that_sends_less_than_was_asked_for_is_asked_for_the_rest() {
    const TAG: &[&str] = &["etag: \"one\""];
    let (server, all) = breaks_once(300_000, TAG, |request, stream, all| {
        let from = first(request);
        let to = (from + 200_000).min(SIZE);
        let range = format!("content-range: bytes {from}-{}/{SIZE}", to - 1);
        answer(stream, "206 Partial Content", &["etag: \"one\"", &range], &all[from..to]);
    });
    let done = fetch(&[&server.url("/r")], &Terms::default(), None);
    done.is(&all);
    assert_eq!((done.from(), server.seen().len()), (vec![300_000], 5));
}

#[test]
fn another_mirror_goes_on_in_the_middle_where_a_digest_will_tell() {
    const ONE: &[&str] = &["etag: \"one\""];
    for with_digest in [true, false] {
        let (broken, all) = breaks_once(300_000, ONE, |_, stream, _| answer(stream, "500 No", &[], b""));
        let copy = all.clone();
        let other = Odd::serve(move |request, stream| part(stream, request, &copy, &["etag: \"two\""], SIZE));
        let (a, b) = (broken.url("/r"), other.url("/r"));
        let done = fetch(&[&a, &b], &Terms::default(), with_digest.then_some(&all[..]));
        done.is(&all);
        let seen = other.seen();
        let asked = (seen[0].header("range"), seen[0].header("if-range"));
        let wanted = if with_digest { Some("bytes=300000-") } else { None };
        assert_eq!((asked, seen.len()), ((wanted, None), 1));
        assert_eq!((done.said[0].location.clone(), done.said[0].next.clone()), (at(&a), at(&b)));
    }
}

#[test]
fn bytes_of_several_mirrors_that_do_not_belong_together_come_anew_from_one() {
    let (stale, all) = (body(2), body(1));
    let first_half = Odd::serve(move |request, stream| match request.number {
        0 => part(stream, request, &stale, &[], 300_000),
        _ => answer(stream, "200 OK", &[], &stale),
    });
    let copy = all.clone();
    let good = Odd::serve(move |request, stream| part(stream, request, &copy, &[], SIZE));
    let done = fetch(&[&first_half.url("/r"), &good.url("/r")], &Terms::default(), Some(&all));
    done.is(&all);
    assert_eq!(done.from(), [300_000, 0]);
    let why = "the digest does not match, of bytes from several answers: now from one alone";
    assert!(done.said[1].error.contains(why), "{:?}", done.said);
}

/// What counts as slow here.
const SLOW: Pace = Pace { least: 100 << 10, over: Duration::from_millis(300) };

/// A server that sends this much and takes its time for it.
fn trickle(stream: &mut dyn Stream, bytes: &[u8]) {
    for piece in bytes.chunks(1000) {
        if stream.write_all(piece).and_then(|()| stream.flush()).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_slow_mirror_is_read_on_where_no_other_one_can_be_read_from_there() {
    type Answers = fn(&Request, &mut dyn Stream, &[u8]);
    let all = body(1)[..100_000].to_vec();
    let elsewhere: [(&str, Answers); 4] = [
        ("a server that is gone", |_, stream, _| answer(stream, "404 Not Found", &[], b"")),
        ("one that is busy", |_, stream, _| answer(stream, "503 Later", &["retry-after: 1"], b"")),
        ("one without ranges", |_, stream, all| answer(stream, "200 OK", &[], all)),
        ("one with another version", |request, stream, all| {
            let range = format!("content-range: bytes {}-{}/{}", first(request), all.len(), all.len() + 1);
            head(stream, "206 Partial Content", &[&range], Some((all.len() + 1 - first(request)) as u64));
        }),
    ];
    for (what, other) in elsewhere {
        let copy = all.clone();
        let slow = Odd::serve(move |request, stream| {
            let from = first(request);
            part(stream, request, &copy, &[], from);
            trickle(stream, &copy[from..]);
        });
        let copy = all.clone();
        let second = Odd::serve(move |request, stream| other(request, stream, &copy));
        for terms in [Terms::default(), chunks(&all)] {
            let digest = terms.chunks.is_none().then_some(&all[..]);
            let done = fetch_by(SLOW, &[&slow.url("/r"), &second.url("/r")], &terms, digest);
            done.is(&all);
            assert!(
                done.said.len() >= 2 && done.said.iter().all(|said| said.from > 0),
                "{what}: {:?}",
                done.said
            );
        }
        assert_eq!(slow.seen().len(), 2, "{what}: it is not asked again");
        assert_eq!(second.seen().len(), 2, "{what}: it is asked once a fetch");
    }
}

#[test]
fn a_server_that_sends_byte_for_byte_is_no_server() {
    const TAG: &[&str] = &["etag: \"one\""];
    let (server, _) = breaks_once(300_000, TAG, |request, stream, all| {
        let from = first(request);
        let range = format!("content-range: bytes {from}-{from}/{SIZE}");
        answer(stream, "206 Partial Content", &["etag: \"one\"", &range], &all[from..=from]);
    });
    let done = fetch(&[&server.url("/r")], &Terms::default(), None);
    let why = done.bytes.unwrap_err();
    assert!(why.contains("it sends no more than 1 bytes at a time"), "{why}");
    assert!(server.seen().len() < 200, "{} requests", server.seen().len());
}

#[test]
fn a_part_whose_whole_nobody_names_again_is_not_the_end() {
    const TAG: &[&str] = &["etag: \"one\""];
    let (server, all) = breaks_once(300_000, TAG, |request, stream, all| {
        let from = first(request);
        let to = (from + 200_000).min(SIZE);
        let range = format!("content-range: bytes {from}-{}/*", to - 1);
        answer(stream, "206 Partial Content", &["etag: \"one\"", &range], &all[from..to]);
    });
    fetch(&[&server.url("/r")], &Terms::default(), None).is(&all);
}

#[test]
fn a_time_of_change_that_is_not_said_again_still_holds() {
    const FIRST: &[&str] =
        &["last-modified: Sun, 06 Nov 1994 08:49:37 GMT", "date: Sun, 06 Nov 1994 09:00:00 GMT"];
    let (server, all) = breaks_once(300_000, FIRST, |request, stream, all| {
        let until = if request.number == 1 { 600_000 } else { SIZE };
        part(stream, request, all, &[], until);
    });
    let done = fetch(&[&server.url("/r")], &Terms::default(), None);
    done.is(&all);
    assert_eq!(done.from(), [300_000, 600_000]);
}

#[test]
fn a_slow_mirror_is_left_for_one_that_is_not_and_nothing_is_lost() {
    let all = body(1);
    let copy = all.clone();
    let slow = Odd::serve(move |request, stream| {
        let from = first(request);
        part(stream, request, &copy, &[], from);
        for byte in &copy[from..] {
            if stream.write_all(&[*byte]).and_then(|()| stream.flush()).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let copy = all.clone();
    let quick = Odd::serve(move |request, stream| part(stream, request, &copy, &[], SIZE));
    let done = fetch_by(SLOW, &[&slow.url("/r"), &quick.url("/r")], &Terms::default(), Some(&all));
    done.is(&all);
    let [what] = &done.said[..] else { panic!("{:?}", done.said) };
    assert!(what.error.contains("slow: 0 KiB/s over 0 s; another mirror is tried"), "{what:?}");
    assert!(what.from > 10 && what.from < 1000 && what.wait.is_zero(), "{what:?}");
    assert_eq!(quick.seen()[0].header("range"), Some(format!("bytes={}-", what.from).as_str()));
}

/// Chunks of 100 000 bytes.
pub fn chunks(all: &[u8]) -> Terms {
    let (list, _) = ChunkList::of(all.chunks(100_000).map(|chunk| (chunk.len() as u64, Sha256::of(chunk))));
    Terms { chunks: Some(Arc::new(list)), ..Terms::default() }
}

#[test]
fn a_bad_chunk_comes_from_the_next_mirror_and_nothing_right_is_fetched_twice() {
    let all = body(1);
    let mut flipped = all.clone();
    flipped[450_000] ^= 1;
    let bad = Odd::serve(move |request, stream| part(stream, request, &flipped, &[], SIZE));
    let copy = all.clone();
    let good = Odd::serve(move |request, stream| part(stream, request, &copy, &[], SIZE));
    let done = fetch(&[&bad.url("/r"), &good.url("/r")], &chunks(&all), None);
    done.is(&all);
    let [what] = &done.said[..] else { panic!("{:?}", done.said) };
    assert!(what.wrong_bytes && what.from == 400_000 && what.next == at(&good.url("/r")), "{what:?}");
    let got = Sha256::of(&{
        let mut chunk = all[400_000..500_000].to_vec();
        chunk[50_000] ^= 1;
        chunk
    });
    let text = format!(
        "{}: chunk 5 of 10 (bytes 400000 to 500000): SHA-256 does not match: expected {}, got {got}",
        bad.url("/r"),
        Sha256::of(&all[400_000..500_000])
    );
    assert_eq!(what.error, text);
    assert_eq!((bad.seen().len(), good.seen().len()), (1, 1));
    assert_eq!(good.seen()[0].header("range"), Some("bytes=400000-"));
}

#[test]
fn a_chunk_that_was_damaged_on_the_way_is_fetched_again_and_one_that_stays_wrong_is_named() {
    for once in [true, false] {
        let all = body(1);
        let mut flipped = all.clone();
        flipped[450_000] ^= 1;
        let copy = all.clone();
        let server = Odd::serve(move |request, stream| {
            let bytes = if once && request.number > 0 { &copy } else { &flipped };
            part(stream, request, bytes, &[], SIZE);
        });
        let done = fetch(&[&server.url("/r")], &chunks(&all), None);
        assert_eq!(server.seen()[1].header("range"), Some("bytes=400000-"));
        if once {
            done.is(&all);
        } else {
            let why = done.bytes.unwrap_err();
            assert!(why.contains("chunk 5 of 10 (bytes 400000 to 500000): SHA-256"), "{why}");
            // The same wrong bytes twice: no third time.
            assert_eq!(server.seen().len(), 2);
        }
    }
}

#[test]
fn mirrors_that_have_one_bad_chunk_each_make_a_whole_together() {
    let all = body(1);
    let with_a_bit_less = |at: usize| {
        let mut bytes = all.clone();
        bytes[at] ^= 1;
        Odd::serve(move |request, stream| part(stream, request, &bytes, &[], SIZE))
    };
    let (a, b) = (with_a_bit_less(150_000), with_a_bit_less(850_000));
    let done = fetch(&[&a.url("/r"), &b.url("/r")], &chunks(&all), None);
    done.is(&all);
    assert_eq!(done.from(), [100_000, 800_000]);
}

#[test]
fn a_link_that_breaks_more_often_than_a_chunk_takes_gets_there_all_the_same() {
    let all = body(1);
    let copy = all.clone();
    let server = Odd::serve(move |request, stream| {
        let from = first(request);
        part(stream, request, &copy, &["etag: \"one\""], (from + 70_000).min(SIZE));
    });
    let begun = server.seen().len();
    let done = fetch(&[&server.url("/r")], &chunks(&all), None);
    done.is(&all);
    assert_eq!(server.seen().len() - begun, SIZE.div_ceil(70_000));
    let from: Vec<u64> = (1..).map(|n| n * 70_000).take_while(|n| *n < SIZE as u64).collect();
    assert_eq!(done.from(), from, "it goes on in the middle of a chunk");
}

#[test]
fn chunks_of_a_server_without_ranges_are_passed_over_not_thrown_away() {
    let all = body(1);
    let copy = all.clone();
    let server = Odd::serve(move |request, stream| match request.number {
        0 => part(stream, request, &copy, &[], 330_000),
        _ => answer(stream, "200 OK", &[], &copy),
    });
    let done = fetch(&[&server.url("/r")], &chunks(&all), None);
    done.is(&all);
    assert_eq!(done.from(), [330_000]);
}

#[test]
fn a_mirror_of_another_length_has_other_bytes() {
    let all = body(1);
    let copy = all.clone();
    let breaks = Odd::serve(move |request, stream| match request.number {
        0 => part(stream, request, &copy, &[], 330_000),
        _ => part(stream, request, &copy, &[], SIZE),
    });
    let shorter = all[..SIZE - 1].to_vec();
    let other = Odd::serve(move |request, stream| part(stream, request, &shorter, &[], SIZE - 1));
    let done = fetch(&[&breaks.url("/r"), &other.url("/r")], &chunks(&all), None);
    done.is(&all);
    assert!(done.said[1].error.ends_with("has 999999 bytes, the catalog says 1000000"), "{:?}", done.said);
}

/// A read that waits is told to stop from another thread; how long it took to hear that.
pub fn stopped_while_reading(
    read: impl FnOnce(&dyn Fn(Flow)) -> Result<(), String> + Send + 'static,
) -> Duration {
    let (told, flow) = std::sync::mpsc::channel();
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let end = read(&move |flow| told.send(flow).unwrap());
        done.send((Instant::now(), end)).unwrap();
    });
    let flow: Flow = flow.recv().unwrap();
    // It waits by now, or will in a moment: both must be heard.
    std::thread::sleep(Duration::from_millis(100));
    let stopped = Instant::now();
    flow.stop();
    let (at, end) = ended.recv().unwrap();
    assert_eq!(end, Err("stopped on request".into()));
    at.saturating_duration_since(stopped)
}

/// Reads so many bytes, tells how to stop it, and reads on; what that comes to.
pub fn read_on(url: &str, terms: &Terms, first: usize, tell: &dyn Fn(Flow)) -> Result<(), String> {
    let fetcher = Fetcher::new(&Config::default()).unwrap();
    let go_on = |_| ControlFlow::Continue(());
    let done = drive(&[at(url)], Duration::from_secs(600), &go_on, |attempt| {
        let mut source = attempt.open(&fetcher, terms)?;
        let mut bytes = vec![0; first];
        source.reader.read_exact(&mut bytes).unwrap();
        tell(source.flow.clone());
        let error = source.reader.read(&mut bytes).unwrap_err();
        Err::<(), _>(Attempt::Fatal(error.to_string()))
    });
    done.map_err(|why| why.to_string())
}

#[test]
fn a_stop_is_heard_while_a_mirror_stalls_and_while_the_next_try_is_waited_for() {
    type Then = fn(&mut dyn Stream);
    for then in [silence as Then, |_| {}] {
        let took = stopped_while_reading(move |tell| {
            let all = body(1);
            let server = Odd::serve(move |request, stream| match request.number {
                0 => {
                    part(stream, request, &all, &[], 300_000);
                    let _there = stream.flush();
                    then(stream);
                }
                // Nobody is asked before a minute has passed.
                _ => answer(stream, "503 Later", &["retry-after: 60"], b""),
            });
            read_on(&server.url("/r"), &Terms { digest: true, ..Terms::default() }, 300_000, tell)
        });
        assert!(took < Duration::from_millis(250), "{took:?}");
    }
}

#[test]
fn a_stop_is_heard_while_what_is_there_already_is_passed_over() {
    let took = stopped_while_reading(move |tell| {
        let all = body(1);
        let (copy, terms) = (all.clone(), chunks(&all));
        let server = Odd::serve(move |request, stream| match request.number {
            0 => part(stream, request, &copy, &[], 330_000),
            // All of it once more, up to what is not even new.
            _ => {
                head(stream, "200 OK", &[], Some(SIZE as u64));
                let _there = stream.write_all(&copy[..200_000]).and_then(|()| stream.flush());
                silence(stream);
            }
        });
        read_on(&server.url("/r"), &terms, 300_000, tell)
    });
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[test]
fn a_stop_is_heard_while_a_chunk_list_stalls() {
    let server = Odd::serve(|_, stream| {
        head(stream, "200 OK", &[], Some(5_000));
        let _there = stream.write_all(b"bootjack-chunks 1\n").and_then(|()| stream.flush());
        silence(stream);
    });
    let fetcher = Fetcher::new(&Config::default()).unwrap();
    // Once it was asked for, the first question is answered with a stop.
    let on = |_| if server.seen().is_empty() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    let begun = Instant::now();
    let end = fetcher.chunk_list(&[at(&server.url("/r"))], &Sha256::of(b""), Duration::from_secs(600), &on);
    assert!(matches!(end, Err(Exhausted::Stopped)), "{end:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
