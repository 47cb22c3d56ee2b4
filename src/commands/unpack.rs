//! `bootjack unpack`: the boot's own fetch → verify → unpack, on any Linux host or inside a foreign initrd. The work is
//! `load`'s; here are the words, the directory and the progress.

mod asked;

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal};
use rustix::fs::{Mode, OFlags, open};

use super::ca::CaArgs;
use super::output;
use super::progress::Progress;
use crate::archive::{Image, Limits, LostXattrs, Unpacked};
use crate::catalog::Artifact;
use crate::fetch::{self, Location, LocationError, MOST_CONNECTIONS, Pin};
use crate::load::{self, Failure, Fetched, LoadError, Loader, Phase, Report, Target, clean};
use crate::verify::{Sha256, Trust};
use crate::volumes;

/// Fetch, verify and unpack a root archive into a directory, as a boot does
#[derive(clap::Args)]
#[command(
    override_usage = "bootjack unpack [OPTIONS] <LOCATION>... <DIR>\n       \
                      bootjack unpack --cmdline[=FILE] <DIR>",
    after_help = "Example: bootjack unpack http://10.0.2.2:8080/debian.tar.zst --sha256 9f86d0… /mnt/root"
)]
pub struct UnpackArgs {
    /// Where the archive is (further ones are mirrors), and last the directory: made, or empty
    // At least two, which is seen in `run`: clap would want two on each side of an option.
    #[arg(required_unless_present = "ask", value_name = "LOCATION|DIR")]
    places: Vec<String>,
    /// The root that the kernel command line asks for, into a tmpfs mounted at DIR; exit status 3: it asks for none
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "/proc/cmdline",
        conflicts_with_all = ["sha256", "chunks", "connections", "pin", "size", "ca", "retry_for"]
    )]
    cmdline: Option<PathBuf>,
    /// Fetch nothing: say in the shell's words what the command line's root needs
    #[arg(long, requires = "cmdline", conflicts_with = "places")]
    ask: bool,
    /// SHA-256 the fetched bytes must have; without it the archive is not verified
    #[arg(long, value_name = "HEX")]
    sha256: Option<Sha256>,
    /// SHA-256 of the chunk list, which lies at LOCATION.chunks: each chunk is verified before it is unpacked
    #[arg(long, value_name = "HEX")]
    chunks: Option<Sha256>,
    /// Fetch over so many connections at once, where there is a chunk list: for slow long links
    #[arg(long, value_name = "N", default_value = "1", value_parser = connections)]
    connections: u8,
    /// Believe an https server that has this key, and no other: sha256/BASE64 of its public key (repeatable)
    #[arg(long, value_name = "PIN")]
    pin: Vec<Pin>,
    /// Exact size of the fetched bytes
    #[arg(long, value_name = "BYTES")]
    size: Option<u64>,
    #[command(flatten)]
    ca: CaArgs,
    /// How long to go on without a byte arriving, over all tries
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = crate::catalog::duration)]
    retry_for: Duration,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Default, serde::Serialize)]
struct Outcome {
    ok: bool,
    /// Without a password.
    location: Option<String>,
    bytes: u64,
    unpacked: u64,
    entries: u64,
    /// What it is, if it was not unpacked but is read in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Image>,
    sha256: Option<Sha256>,
    seconds: f64,
    retries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost_xattrs: Option<LostXattrs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// # Errors
/// What went wrong, with the directory left empty.
pub fn run(args: &UnpackArgs) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let done = match (&args.cmdline, &args.places[..]) {
        (Some(_), [_, _, ..]) => return Ok(wrong_usage("--cmdline goes with one DIR")),
        (Some(file), dir) => match (asked::read(file)?, dir) {
            (None, _) => return Ok(ExitCode::from(asked::NOT_OURS)),
            (Some(asked), [dir, ..]) => asked.unpack(Path::new(dir)),
            (Some(asked), []) => return asked.tell(),
        },
        (None, [locations @ .., dir]) if !locations.is_empty() => unpack(args, locations, dir),
        (None, _) => return Ok(wrong_usage("a LOCATION and a DIR are needed")),
    };
    volumes::dismantle();
    let seconds = started.elapsed().as_secs_f64();
    if args.json {
        let outcome = match &done {
            Ok(fetched) => {
                let Unpacked { bytes, entries, lost_xattrs } = fetched.unpacked.clone().unwrap_or_default();
                Outcome {
                    ok: true,
                    location: Some(fetched.location.to_string()),
                    bytes: fetched.bytes,
                    unpacked: bytes,
                    entries,
                    image: fetched.image,
                    sha256: Some(fetched.sha256.clone()),
                    seconds,
                    retries: fetched.retries,
                    lost_xattrs,
                    error: None,
                }
            }
            Err(failure) => Outcome { seconds, error: Some(failure.to_string()), ..Outcome::default() },
        };
        let json = serde_json::to_string(&outcome).map_err(|e| Failure::new(Phase::Unpack, "--json", e))?;
        let printed = output::print(Phase::Unpack, &format!("{json}\n"));
        // What went wrong first is what is said.
        done.as_ref().map_or(Ok(()), |_| printed)?;
    }
    let fetched = done?;
    if let Some(lost) = fetched.unpacked.as_ref().and_then(|unpacked| unpacked.lost_xattrs.as_ref()) {
        eprintln!(
            "bootjack: warning: {} extended attributes could not be stored here, the first is {} of {} (errno {})",
            lost.count,
            clean(&lost.first_name),
            clean(&lost.first_member.to_string_lossy()),
            lost.errno
        );
    }
    if !args.json {
        let Fetched { bytes, location, sha256, unpacked, image, .. } = &fetched;
        let became = match image {
            Some(image) => format!("{image}, read in place"),
            None => {
                let Unpacked { bytes, entries, .. } = unpacked.clone().unwrap_or_default();
                format!("{entries} entries of {bytes} bytes")
            }
        };
        let came = format!("{location}: {bytes} bytes, {became}, sha256 {sha256}, {seconds:.1} s\n");
        output::print(Phase::Unpack, &came)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn wrong_usage(what: &str) -> ExitCode {
    eprintln!("error: {what}\n\nFor more information, try '--help'.");
    ExitCode::from(2)
}

fn unpack(args: &UnpackArgs, places: &[String], dir: &str) -> Result<Fetched, Failure> {
    let locations = places
        .iter()
        .map(|text| Location::parse(text).map_err(|e| no_location(text, e)))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(other) = locations.iter().find(|location| !args.pin.is_empty() && !location.is_https()) {
        let failure = Failure::because(Phase::Fetch, other.to_string(), "--pin is of use to https alone");
        return Err(failure.hint("with a pin every mirror is https: elsewhere it would vouch for nothing"));
    }
    only_root(dir)?;
    let (trust, chunks) = (Trust::of(args.sha256.clone(), args.chunks.clone()), args.chunks.clone());
    if trust == Trust::Unverified {
        eprintln!(
            "bootjack: warning: neither --sha256 nor --chunks was given: {} is not verified",
            locations[0]
        );
    }
    let artifact = Artifact {
        locations,
        trust,
        chunks,
        pins: args.pin.clone(),
        connections: args.connections,
        size: args.size,
        unpacked: None,
        entries: None,
        drivers: None,
    };
    let fetcher = args.ca.fetcher()?;
    let stop = stop_on_signals().map_err(|e| Failure::new(Phase::Unpack, dir, e))?;
    let mut directory =
        Directory::prepare(Path::new(dir)).map_err(|e| Failure::new(Phase::Unpack, dir, e))?;
    let progress = Mutex::new(Progress::to_stderr("unpacking"));
    let on = |report: Report| tell(&progress, &stop, &report);
    // No limits but the directory's file system: on a host the person knows what they unpack.
    let limits = Limits { bytes: u64::MAX, entries: u64::MAX };
    let name = artifact.locations[0].to_string();
    let loader = Loader { fetcher: &fetcher, retry_for: args.retry_for, on: &on };
    match load::fetch_into(&mut directory, &artifact, &name, &limits, &loader) {
        Ok((_, fetched)) => Ok(fetched),
        Err(error) => {
            progress.lock().unwrap_or_else(PoisonError::into_inner).end();
            let mut failure = failure_of(error, &name);
            if let Err(e) = directory.empty() {
                failure.cause.push(format!("and {dir} could not be emptied: {e}"));
            }
            Err(failure)
        }
    }
}

fn connections(text: &str) -> Result<u8, String> {
    let known = text.parse().ok().and_then(fetch::connections);
    known.ok_or_else(|| format!("from 1 to {MOST_CONNECTIONS}"))
}

fn no_location(text: &str, error: LocationError) -> Failure {
    let hint = format!("such as {}", error.example());
    // Of an empty word nothing would be seen.
    Failure::new(Phase::Fetch, if text.is_empty() { "\"\"" } else { text }, error).hint(hint)
}

fn only_root(dir: &str) -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let failure = Failure::because(Phase::Unpack, dir, "owners and device nodes can only be made by root");
    Err(failure.hint("run it as root: sudo bootjack unpack …"))
}

fn tell(progress: &Mutex<Progress>, stop: &AtomicBool, report: &Report) -> ControlFlow<()> {
    if stop.load(Ordering::Relaxed) {
        return ControlFlow::Break(());
    }
    progress.lock().unwrap_or_else(PoisonError::into_inner).report(report);
    ControlFlow::Continue(())
}

fn failure_of(error: LoadError, name: &str) -> Failure {
    match error {
        LoadError::Failed(failure) => failure,
        LoadError::Stopped => Failure::because(Phase::Unpack, name, "stopped"),
    }
}

/// Set by an interrupt or a request to end, which from here on end nothing at once: half a tree would stay.
/// To be called before there are threads: they take over which signals are held back (pthread_sigmask(3)).
fn stop_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block().context("holding back signals")?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let wait = move || match signals.wait() {
        Ok(_) => told.store(true, Ordering::Relaxed),
        Err(e) => eprintln!("bootjack: warning: waiting for signals: {e}"),
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).context("starting a thread")?;
    Ok(stop)
}

/// A directory of the person's own: never one that holds something already.
struct Directory {
    path: PathBuf,
}

impl Directory {
    fn prepare(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        if fs::read_dir(path)?.next().is_some() {
            return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "the directory is not empty"));
        }
        Ok(Self { path: path.to_owned() })
    }

    fn empty(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Target for Directory {
    fn fresh(&mut self) -> io::Result<OwnedFd> {
        self.empty()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(open(&self.path, flags, Mode::empty())?)
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}
