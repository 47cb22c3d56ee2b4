//! Loads from files in directories that are thrown away: what stays, what is said, which mirror is believed.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::archive;

/// A directory of the test's own, emptied before each try.
struct Dir(PathBuf);

impl Target for Dir {
    fn fresh(&mut self) -> io::Result<OwnedFd> {
        if self.0.exists() {
            fs::remove_dir_all(&self.0)?;
        }
        fs::create_dir(&self.0)?;
        Ok(fs::File::open(&self.0)?.into())
    }
    fn name(&self) -> String {
        "the target".into()
    }
}

/// Archives, each of one file of so many bytes, and a place for the tree.
struct Lab {
    dir: tempfile::TempDir,
    limits: Limits,
}

fn lab() -> Lab {
    Lab { dir: tempfile::tempdir().unwrap(), limits: Limits { bytes: u64::MAX, entries: 100 } }
}

impl Lab {
    /// Where it lies, its digest and its size.
    fn archive(&self, name: &str, bytes: usize) -> (Location, Sha256, u64) {
        let source = self.dir.path().join(format!("{name}.d"));
        fs::create_dir(&source).unwrap();
        fs::write(source.join("file"), vec![b'x'; bytes]).unwrap();
        let path = self.dir.path().join(name);
        let mut out = fs::File::create(&path).unwrap();
        let packed = archive::pack(&source, &mut out, &archive::PackOptions::default(), &|_| {}).unwrap();
        (Location::File(path), packed.sha256, packed.bytes)
    }

    fn nowhere(&self) -> Location {
        Location::File(self.dir.path().join("nowhere"))
    }

    fn target(&self) -> Dir {
        Dir(self.dir.path().join("tree"))
    }

    fn fetch(&self, artifact: &Artifact) -> Result<(Verified<Contents>, Fetched), LoadError> {
        self.fetch_into(&mut self.target(), artifact)
    }

    fn fetch_into(
        &self,
        target: &mut dyn Target,
        artifact: &Artifact,
    ) -> Result<(Verified<Contents>, Fetched), LoadError> {
        let fetcher = Fetcher::new(&crate::fetch::Config::default()).unwrap();
        let go_on = |_: Report| ControlFlow::Continue(());
        let loader = Loader { fetcher: &fetcher, retry_for: Duration::ZERO, on: &go_on };
        fetch_into(target, artifact, "root", &self.limits, &loader)
    }

    fn failure(&self, artifact: &Artifact) -> Failure {
        failed(self.fetch(artifact))
    }
}

fn failed(done: Result<(Verified<Contents>, Fetched), LoadError>) -> Failure {
    match done {
        Err(LoadError::Failed(failure)) => failure,
        other => panic!("it should fail: {other:?}"),
    }
}

fn of(locations: Vec<Location>, trust: Trust) -> Artifact {
    Artifact {
        locations,
        trust,
        size: None,
        unpacked: None,
        entries: None,
        chunks: None,
        pins: vec![],
        connections: 1,
        drivers: None,
    }
}

fn hint(failure: &Failure) -> &str {
    failure.hint.as_deref().unwrap()
}

#[test]
fn a_wrong_digest_hands_out_nothing_and_names_both() {
    let lab = lab();
    let (place, got, _) = lab.archive("a", 10);
    let wanted = Sha256::of(b"other");
    let failure = lab.failure(&of(vec![place], Trust::Sha256(wanted.clone())));
    assert_eq!(failure.phase, Phase::Verify);
    assert!(failure.to_string().contains(&format!("expected {wanted}, got {got} over ")), "{failure}");
}

#[test]
fn a_mirror_with_a_larger_archive_does_not_keep_the_good_one_from_being_used() {
    let mut lab = lab();
    let (stale, ..) = lab.archive("stale", 100_000);
    let (good, digest, _) = lab.archive("good", 5000);
    lab.limits.bytes = 8192;
    let (_, fetched) = lab.fetch(&of(vec![stale.clone(), good.clone()], Trust::Sha256(digest))).unwrap();
    assert_eq!((fetched.unpacked.unwrap().bytes, fetched.location, fetched.retries), (8192, good, 1));
    assert_eq!(fs::metadata(lab.target().0.join("file")).unwrap().len(), 5000);
    // Where nothing is compared, the first archive is the one that is meant.
    let failure = lab.failure(&of(vec![stale, lab.nowhere()], Trust::Unverified));
    assert!(!failure.to_string().contains("nowhere"), "{failure}");
}

#[test]
fn a_mirror_whose_members_cannot_be_made_does_not_keep_the_good_one_from_being_used() {
    let lab = lab();
    let (good, digest, _) = lab.archive("good", 5000);
    let (bad, ..) = lab.archive("bad", 5000);
    /// A target whose first directory nothing can be made in.
    struct Once(Dir, bool);
    impl Target for Once {
        fn fresh(&mut self) -> io::Result<OwnedFd> {
            match std::mem::replace(&mut self.1, true) {
                true => self.0.fresh(),
                false => Ok(fs::File::open("/proc/self")?.into()),
            }
        }
        fn name(&self) -> String {
            self.0.name()
        }
    }
    let mut target = Once(lab.target(), false);
    let done = lab.fetch_into(&mut target, &of(vec![bad.clone(), good], Trust::Sha256(digest.clone())));
    assert_eq!(done.unwrap().1.retries, 1);
    let alone = failed(lab.fetch_into(&mut Once(lab.target(), false), &of(vec![bad], Trust::Sha256(digest))));
    assert_eq!(alone.phase, Phase::Unpack);
}

#[test]
fn more_than_the_catalog_says_and_a_full_target_are_two_things() {
    let mut lab = lab();
    let (place, digest, _) = lab.archive("a", 100_000);
    let mut artifact = of(vec![place], Trust::Sha256(digest));
    lab.limits.bytes = 8192;
    let failure = lab.failure(&artifact);
    assert_eq!(failure.phase, Phase::Unpack);
    assert!(failure.to_string().contains("the target: ./file: no space left"), "{failure}");
    assert!(hint(&failure).starts_with("raise root_size"), "{failure:?}");

    artifact.unpacked = Some(8192);
    let failure = lab.failure(&artifact);
    assert_eq!(failure.phase, Phase::Unpack);
    assert!(
        failure.to_string().contains("more than the 8192 bytes of file data the catalog says"),
        "{failure}"
    );
    assert!(!hint(&failure).contains("root_size"), "{failure:?}");
}

#[test]
fn what_tells_most_is_said_whatever_the_last_mirror_did() {
    let lab = lab();
    let (place, ..) = lab.archive("a", 10);
    let trust = Trust::Sha256(Sha256::of(b"other"));
    for mirrors in [vec![place.clone(), lab.nowhere()], vec![lab.nowhere(), place]] {
        let failure = lab.failure(&of(mirrors, trust.clone()));
        assert_eq!(failure.phase, Phase::Verify);
        assert!(hint(&failure).contains("sha256sum"), "{failure:?}");
        assert!(failure.to_string().contains("nowhere: opening"), "{failure}");
    }
    let failure = lab.failure(&of(vec![lab.nowhere()], trust));
    assert_eq!((failure.phase, hint(&failure)), (Phase::Fetch, "check the path"));
}

#[test]
fn another_size_is_refused_before_a_byte_is_read() {
    let lab = lab();
    let (place, digest, bytes) = lab.archive("a", 10);
    let mut artifact = of(vec![place], Trust::Sha256(digest));
    artifact.size = Some(bytes + 1);
    let failure = lab.failure(&artifact);
    assert_eq!(failure.phase, Phase::Verify);
    assert!(failure.to_string().ends_with(&format!("has {bytes} bytes, the catalog says {}", bytes + 1)));
    assert!(!lab.target().0.exists(), "the target was touched");
    artifact.size = Some(bytes);
    lab.fetch(&artifact).unwrap();
}

#[test]
fn a_failure_has_the_whole_chain_and_says_nothing_twice() {
    let inner = io::Error::other("no route");
    let error = anyhow::Error::new(inner).context("connecting: no route").context("opening");
    let failure = Failure::new(Phase::Fetch, "http://a/", error).hint("look");
    assert_eq!(failure.cause, ["opening", "connecting: no route"]);
    assert_eq!(failure.to_string(), "fetch: http://a/: opening: connecting: no route");
    assert_eq!(failure.hint.as_deref(), Some("look"));
}

#[test]
fn a_name_out_of_an_archive_moves_no_cursor() {
    assert_eq!(clean("etc/\u{1b}[2Jä\n"), "etc/\\u{1b}[2Jä\\n");
}
