use std::fs;

use super::*;

/// What the specimens sign. They were made with minisign 0.11 (`-G -W`, `-S`, and `-S -l` for the older form), and the
/// secret keys thrown away.
const TEXT: &[u8] = b"version = 1\n";

const A: &str = include_str!("specimens/a.pub");
const B: &str = include_str!("specimens/b.pub");
const C: &str = include_str!("specimens/c.pub");
const BY_A: &str = include_str!("specimens/a.minisig");
const BY_B: &str = include_str!("specimens/b.minisig");
const BY_C: &str = include_str!("specimens/c.minisig");
const BY_A_LEGACY: &str = include_str!("specimens/a-legacy.minisig");
const BY_B_LEGACY: &str = include_str!("specimens/b-legacy.minisig");
/// By `A`, over another text.
const OTHER_BY_A: &str = include_str!("specimens/a-of-another-text.minisig");

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

/// As the comment that minisign writes over a key says.
fn id(text: &str) -> String {
    text.lines().next().unwrap().rsplit(' ').next().unwrap().to_owned()
}

fn ring(keys: &[&str], threshold: usize) -> Keyring {
    Keyring::new(keys.iter().map(|text| key(text)).collect(), threshold).unwrap()
}

fn check(ring: &Keyring, files: &[&str]) -> Result<String, String> {
    let checked = ring.check(TEXT, files.concat().as_bytes());
    checked.map(|signed| signed.to_string()).map_err(|not| not.to_string())
}

#[test]
fn a_key_is_called_as_minisign_calls_it() {
    for text in [A, B, C] {
        assert_eq!(key(text).id().to_string(), id(text));
    }
    assert_eq!(KeyId(0x0ba6_2753_e0e8_367f).to_string(), "BA62753E0E8367F");
}

#[test]
fn both_forms_of_a_signature_are_good() {
    for signature in [BY_A, BY_A_LEGACY] {
        assert_eq!(check(&ring(&[A], 1), &[signature]), Ok(format!("signed by {}", id(A))));
    }
}

#[test]
fn no_other_byte_is_signed() {
    let ring = ring(&[A], 1);
    for signature in [BY_A, BY_A_LEGACY] {
        for other in [&b"version = 1"[..], b"version = 1\n\n", b"version = 2\n", b"", b"\xefversion = 1\n"] {
            let not = ring.check(other, signature.as_bytes()).unwrap_err().to_string();
            let wanted =
                format!("key {0} must have signed it, and has not; signed something else: {0}", id(A));
            assert_eq!(not, wanted);
        }
    }
}

#[test]
fn no_letter_of_a_signature_can_be_another_one() {
    let ring = ring(&[A], 1);
    for signature in [BY_A, BY_A_LEGACY] {
        let first_line = signature.find('\n').unwrap();
        for (at, letter) in signature.char_indices().filter(|(at, c)| *at > first_line && !c.is_whitespace())
        {
            let other = if letter == 'A' { "B" } else { "A" };
            let damaged = format!("{}{other}{}", &signature[..at], &signature[at + 1..]);
            assert!(ring.check(TEXT, damaged.as_bytes()).is_err(), "{damaged}");
        }
        // What stands over it is nobody's word.
        let renamed = format!("untrusted comment: by anybody{}", &signature[first_line..]);
        assert!(ring.check(TEXT, renamed.as_bytes()).is_ok());
    }
}

#[test]
fn a_trusted_comment_of_another_signature_is_not_trusted() {
    let lines = |text: &'static str| text.lines().collect::<Vec<_>>();
    let (mut mine, other) = (lines(BY_A), lines(OTHER_BY_A));
    (mine[2], mine[3]) = (other[2], other[3]);
    assert!(check(&ring(&[A], 1), &[&mine.join("\n")]).is_err());
}

#[test]
fn so_many_different_keys_have_to_sign() {
    let of_three = ring(&[A, B, C], 2);
    let signed = |files: &[&str]| check(&of_three, files);
    assert_eq!(signed(&[BY_B, BY_A]), Ok(format!("signed by {}, {} (2 of 3)", id(A), id(B))));
    assert_eq!(signed(&[BY_A, BY_C]), Ok(format!("signed by {}, {} (2 of 3)", id(A), id(C))));
    assert_eq!(signed(&[BY_A, BY_B_LEGACY, BY_C]).unwrap().matches(", ").count(), 2);
    for too_few in [&[BY_A][..], &[], &[BY_A, BY_A], &[BY_A, BY_A_LEGACY, BY_A], &[OTHER_BY_A, BY_C]] {
        let not = signed(too_few).unwrap_err();
        let of = format!("2 of {}, {}, {} must have signed it, ", id(A), id(B), id(C));
        assert!(not.starts_with(&of), "{not}");
    }
    assert_eq!(check(&ring(&[A, B, C], 3), &[BY_A, BY_B, BY_C]).unwrap().matches(", ").count(), 2);
    assert!(check(&ring(&[A, B, C], 3), &[BY_A, BY_B]).is_err());
}

#[test]
fn signatures_of_the_text_before_may_stand_beside_the_new_ones() {
    for files in [[OTHER_BY_A, BY_A], [BY_A, OTHER_BY_A]] {
        assert_eq!(check(&ring(&[A], 1), &files), Ok(format!("signed by {}", id(A))));
    }
}

#[test]
fn every_reason_is_told() {
    let garbage = "untrusted comment: x\n!\n";
    let not = check(&ring(&[A, B], 2), &[BY_B, garbage, BY_C, OTHER_BY_A]).unwrap_err();
    let (a, b, c) = (id(A), id(B), id(C));
    assert_eq!(
        not,
        format!(
            "2 of {a}, {b} must have signed it, 1 did; good: {b}; signed something else: {a}; not among the keys of \
             the initrd: {c}; damaged signatures: 1"
        )
    );
}

#[test]
fn what_is_no_signature_counts_as_none() {
    let ring = ring(&[A], 1);
    for text in
        ["", "\n", "404 not found\n", "untrusted comment: x", "untrusted comment: x\n\n\n\n", A, "é\u{0}"]
    {
        assert!(check(&ring, &[text]).is_err(), "{text:?}");
    }
    assert!(ring.check(TEXT, &[0xff; 100]).is_err());
    let damaged = check(&ring, &["<html>not found</html>"]).unwrap_err();
    assert!(damaged.ends_with("damaged signatures: 1"), "{damaged}");
    // In front of good ones it is in nobody's way; what comes after a great many is not looked at.
    assert!(check(&ring, &["hello\n", BY_A]).is_ok());
    assert!(check(&ring, &[&BY_C.repeat(MOST_SIGNATURES - 1), BY_A]).is_ok());
    assert!(check(&ring, &[&BY_C.repeat(MOST_SIGNATURES), BY_A]).is_err());
}

#[test]
fn a_file_from_another_system_has_other_line_ends() {
    let ring = ring(&[&A.replace('\n', "\r\n")], 1);
    assert!(check(&ring, &[&BY_A.replace('\n', "\r\n")]).is_ok());
}

#[test]
fn what_is_no_public_key_is_told_from_what_is_another_thing() {
    let secret =
        format!("untrusted comment: minisign encrypted secret key\n{}\n", STANDARD.encode([0; SECRET]));
    for (text, why) in [
        (secret.as_str(), NotAKey::Secret),
        (BY_A, NotAKey::Signature),
        (&format!("{A}{B}"), NotAKey::More),
        ("", NotAKey::Other),
        ("untrusted comment: nothing\n", NotAKey::Other),
        ("-----BEGIN PUBLIC KEY-----\n", NotAKey::Other),
        // ssh-ed25519, and a minisign key of another algorithm.
        ("AAAAC3NzaC1lZDI1NTE5AAAAIEJGzhh4", NotAKey::Other),
        (&STANDARD.encode([7; PUBLIC]), NotAKey::Other),
    ] {
        assert_eq!(Key::parse(text), Err(why), "{text}");
    }
    assert!(NotAKey::Secret.to_string().contains("SECRET"));
    // With or without its comment.
    assert_eq!(Key::parse(A.lines().nth(1).unwrap()), Ok(key(A)));
}

#[test]
fn a_threshold_is_a_number_of_the_keys() {
    let new = |keys: &[&str], n| Keyring::new(keys.iter().map(|text| key(text)).collect(), n).map(drop);
    assert_eq!(new(&[A, B], 2), Ok(()));
    for wrong in [0, 3] {
        assert!(new(&[A, B], wrong).unwrap_err().ends_with("write a number from 1 to 2"));
    }
    assert!(new(&[A, B, A], 1).unwrap_err().contains("is there twice"));
    assert!(new(&[], 1).is_err());
}

/// A directory of keys with these files.
fn kept(files: &[(&str, &str)]) -> (tempfile::TempDir, Keyring) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let ring = Keyring::read(dir.path()).unwrap();
    (dir, ring)
}

#[test]
fn without_the_directory_nothing_has_to_be_signed_and_with_it_always() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Keyring::read(&dir.path().join("keys")).is_none());
    let (_dir, empty) = kept(&[]);
    assert_eq!(empty.faults(), ["signature keys: none can be read: no fetched catalog is accepted"]);
    assert!(check(&empty, &[BY_A, BY_B]).is_err());
    // A file in its place is no way around it.
    fs::write(dir.path().join("keys"), "").unwrap();
    assert!(check(&Keyring::read(&dir.path().join("keys")).unwrap(), &[BY_A]).is_err());
    std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
    assert!(check(&Keyring::read(&dir.path().join("link")).unwrap(), &[BY_A]).is_err());
}

#[test]
fn keys_are_read_with_their_threshold() {
    let (_dir, ring) = kept(&[("a.pub", A), ("b.pub", B), ("c.pub", C), ("threshold", "2\n")]);
    assert_eq!((ring.faults(), ring.threshold()), (&[][..], Some(2)));
    assert!(check(&ring, &[BY_A, BY_C]).is_ok());
    assert!(check(&ring, &[BY_A]).is_err());
    let (_dir, ring) = kept(&[("a.pub", A), ("b.pub", B)]);
    assert_eq!(ring.threshold(), Some(1));
    assert!(check(&ring, &[BY_B]).is_ok());
}

#[test]
fn what_cannot_be_read_is_told_and_lowers_no_bar() {
    let (_dir, ring) = kept(&[("a.pub", A), ("b.pub", "damaged"), ("readme", "x"), ("threshold", "2")]);
    let faults = ring.faults();
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults[0].contains("b.pub: is no minisign public key"), "{faults:?}");
    assert!(faults[1].contains("readme: is not looked at"), "{faults:?}");
    assert!(faults[2].contains("2 have to sign, only 1 can be read"), "{faults:?}");
    assert!(check(&ring, &[BY_A, BY_B]).is_err());
    // One that is not needed costs itself alone.
    let (_dir, ring) = kept(&[("a.pub", A), ("b.pub", "damaged"), ("c.pub", C), ("threshold", "2")]);
    assert_eq!(ring.faults().len(), 1);
    assert!(check(&ring, &[BY_A, BY_C]).is_ok());
    assert!(check(&ring, &[BY_A, BY_B]).is_err());
}

#[test]
fn a_threshold_that_is_none_accepts_nothing() {
    for wrong in ["", "0", "two", "-1", "1.5", "99999", "1\n2", "٢"] {
        let (_dir, ring) = kept(&[("a.pub", A), ("b.pub", B), ("threshold", wrong)]);
        assert_eq!((ring.threshold(), ring.faults().len()), (None, 2), "{wrong:?}");
        let not = check(&ring, &[BY_A, BY_B]).unwrap_err();
        assert!(not.starts_with("nobody knows how many of the keys "), "{not}");
    }
}

#[test]
fn one_key_in_two_files_counts_once() {
    let (_dir, ring) = kept(&[("a.pub", A), ("again.pub", A), ("threshold", "2")]);
    assert!(ring.faults()[0].contains("is there already, and counts once"), "{:?}", ring.faults());
    assert!(check(&ring, &[BY_A, BY_A]).is_err());
}
