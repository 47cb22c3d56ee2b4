//! Jobs for real: a busybox root in a tmpfs, the real binary as the job's first process, and what is left afterwards.
//! Needs the right to mount. Time is handed in wherever a deadline is meant.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bootjack::handover::root::Root;
use bootjack::handover::run::{End, Job, Outcome, Running, cgroup2};
use rustix::mount::{UnmountFlags, unmount};

const PATIENCE: Duration = Duration::from_secs(30);
const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

/// A root to run jobs in, and a place for their records.
struct Place {
    dir: tempfile::TempDir,
    root: Option<Root>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::mount(&dir.path().join("root"), 64 << 20).unwrap();
        let bin = root.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let busybox = ["/usr/bin/busybox", "/bin/busybox"].map(Path::new).into_iter().find(|p| p.exists());
        fs::copy(busybox.expect("busybox-static is installed"), bin.join("busybox")).unwrap();
        for name in "sh cat chroot dd echo env head kill ls mkdir mount readlink setsid sleep stty test tr tty unshare yes"
            .split(' ')
        {
            symlink("busybox", bin.join(name)).unwrap();
        }
        Self { dir, root: Some(root) }
    }

    fn path(&self) -> &Path {
        self.root.as_ref().unwrap().path()
    }

    fn record(&self) -> PathBuf {
        self.dir.path().join("job.log")
    }

    fn job(&self, command: &[&str]) -> Job {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let entry = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let command = command.iter().map(ToString::to_string).collect();
        let job = Job::new(&entry, self.path(), command, HALF_AN_HOUR);
        let program = env!("CARGO_BIN_EXE_bootjack").into();
        Job { program, record: self.record(), ..job }
    }

    fn script(&self, script: &str) -> Job {
        self.job(&["/bin/sh", "-c", script])
    }

    /// As a boot does it afterwards, but for one thing: whoever still held it would keep it from going.
    fn goes(mut self) {
        let at = self.root.take().unwrap().keep();
        unmount(&at, UnmountFlags::empty()).expect("nobody holds the root any more");
    }
}

/// Polls at an instant that stands still, until `is`.
fn until(running: &mut Running, now: Instant, said: &mut String, mut is: impl FnMut(&str, bool) -> bool) {
    let began = Instant::now();
    loop {
        let news = running.poll(now);
        said.push_str(&String::from_utf8_lossy(&news.output));
        if is(said, news.ended.is_some()) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "still waiting after {PATIENCE:?}: {said}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn run(job: &Job) -> (Outcome, String) {
    let now = Instant::now();
    let mut running = job.start(now).unwrap();
    let mut said = String::new();
    until(&mut running, now, &mut said, |_, ended| ended);
    (running.finish(), said)
}

fn group_of(job: &Job) -> PathBuf {
    cgroup2().expect("cgroup2 is mounted").join(format!("bootjack-job-{}", job.entry))
}

/// Command lines of all processes that have this word.
fn with_word(word: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|p| fs::read_to_string(p.path().join("cmdline")).ok());
    lines.filter(|line| line.split('\0').any(|w| w == word)).collect()
}

/// Makes /other a root with nothing but a `sleep` that is no link out of it.
const OTHER: &str =
    "mkdir -p /other/bin; cat /bin/busybox >/other/bin/sleep; busybox chmod 755 /other/bin/sleep";

/// Waits until the last process in the background has become that command. It must have a session of its own by then: at
/// the end of a session's leader the kernel hangs up on the group in front (SIGHUP), which is no merit of ours.
fn once_it_is(command: &str) -> String {
    format!("until test \"$(tr '\\0' ' ' </proc/$!/cmdline)\" = '{command} '; do :; done")
}

#[test]
fn a_job_that_succeeds_says_so_with_what_it_said() {
    let place = Place::new();
    let job = place.script("echo one; echo two >&2");
    let (outcome, said) = run(&job);
    assert_eq!((&outcome.end, outcome.succeeded()), (&End::Exit(0), true), "{said}");
    assert_eq!(said, "one\r\ntwo\r\n");
    assert_eq!(outcome.log, ["one", "two"]);
    assert_eq!((outcome.bytes_of_output, outcome.left_running), (10, 0));
    assert_eq!(fs::read_to_string(place.record()).unwrap(), said);
    assert!(!group_of(&job).exists(), "its cgroup is removed");
    place.goes();
}

#[test]
fn a_job_that_fails_says_how() {
    let place = Place::new();
    let (outcome, _) = run(&place.script("echo no such BIOS; exit 3"));
    assert_eq!((outcome.end, outcome.log), (End::Exit(3), vec!["no such BIOS".to_owned()]));
    let (outcome, _) = run(&place.script("kill -SEGV $$"));
    assert_eq!(outcome.end, End::Signal("SIGSEGV".into()));
    place.goes();
}

#[test]
fn what_cannot_run_is_refused_before_anything_starts() {
    let place = Place::new();
    let refused = |job: Job| job.start(Instant::now()).map(|_| ()).unwrap_err().to_string();
    assert_eq!(refused(place.job(&["/sbin/flash"])), "/sbin/flash: not there");
    assert_eq!(refused(place.job(&["flash"])), "flash is no absolute path");
    assert_eq!(refused(place.job(&[])), "there is no command");
    fs::write(place.path().join("text"), "x").unwrap();
    assert_eq!(refused(place.job(&["/text"])), "/text: not executable");
    symlink("/tmp", place.path().join("run")).unwrap();
    let why = refused(place.script("true"));
    assert_eq!(why, "/run of the root is no directory but a symbolic link");
    let own = Job { root: "/".into(), ..place.job(&["/bin/sh"]) };
    assert_eq!(refused(own), "a job cannot run on the file system of our own root");
    place.goes();
}

#[test]
fn what_fails_on_the_way_in_comes_back_in_words() {
    let place = Place::new();
    let job = place.script("true");
    let now = Instant::now();
    // Beyond the limit of the kernel for one argument (MAX_ARG_STRLEN of execve(2)).
    let job = Job { command: vec!["/bin/sh".into(), "x".repeat(200 << 10)], ..job };
    let mut running = job.start(now).unwrap();
    until(&mut running, now, &mut String::new(), |_, ended| ended);
    let End::Refused(why) = running.finish().end else { panic!("refused") };
    assert!(why.starts_with("starting /bin/sh: Argument list too long"), "{why}");
    place.goes();
}

#[test]
fn a_job_has_a_terminal_and_nobody_at_the_keyboard() {
    let place = Place::new();
    let script =
        "tty <&1; test -t 1 && test -t 2 && echo terminal; : >/dev/tty && echo controlling; stty size <&1
        readlink /proc/self/fd/0; read answer || echo nobody; echo gone >/dev/null; umask";
    let (outcome, said) = run(&place.script(script));
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("/dev/pts/"), "{said}");
    assert_eq!(lines[1..], ["terminal", "controlling", "16 80", "/dev/null", "nobody", "0022"], "{said}");
    assert_eq!(outcome.end, End::Exit(0));
    place.goes();
}

#[test]
fn the_environment_is_what_was_handed_in_and_nothing_of_ours() {
    let place = Place::new();
    let mut job = place.script("env; echo $PWD");
    job.environment = vec![("BOOTJACK_MAC".into(), "52:54:00:12:34:56".into()), ("HOME".into(), "/".into())];
    let (_, said) = run(&job);
    let mut lines: Vec<&str> = said.lines().filter(|l| !l.starts_with("SHLVL=")).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "/",
            "BOOTJACK_MAC=52:54:00:12:34:56",
            "HOME=/",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PWD=/",
            "TERM=vt100",
        ]
    );
    place.goes();
}

#[test]
fn the_root_is_all_a_job_sees_beside_the_kernels_views() {
    let place = Place::new();
    let script =
        "echo /*; test -e /proc/self/status && test -c /dev/null && test -d /sys/kernel && echo views
        ls -ld /tmp | head -c 10; echo; cat /proc/self/mounts";
    let (_, said) = run(&place.script(script));
    let lines: Vec<&str> = said.lines().collect();
    let servers = fs::read("/etc/resolv.conf").is_ok_and(|text| !text.is_empty());
    let etc = if servers { "/etc " } else { "" };
    assert_eq!(lines[0], format!("/bin /dev {etc}/proc /run /sys /tmp"));
    assert_eq!(lines[1..3], ["views", "drwxrwxrwt"], "{said}");
    let outer = place.dir.path().to_str().unwrap();
    assert!(!said.contains(outer), "nothing of the old root is mounted: {said}");
    place.goes();
}

#[test]
fn name_servers_are_given_to_a_root_that_has_none() {
    let Ok(servers) = fs::read_to_string("/etc/resolv.conf") else {
        panic!("this machine has no /etc/resolv.conf to give");
    };
    let place = Place::new();
    let show = || run(&place.script("cat /etc/resolv.conf")).1.replace("\r\n", "\n");
    assert_eq!(show(), servers, "without /etc");
    let theirs = place.path().join("etc/resolv.conf");
    fs::write(&theirs, "nameserver 192.0.2.1\n").unwrap();
    assert_eq!(show(), "nameserver 192.0.2.1\n", "its own");
    fs::remove_file(&theirs).unwrap();
    symlink("../run/no/such/stub-resolv.conf", &theirs).unwrap();
    assert_eq!(show(), servers, "a link to what a service would make");
    place.goes();
}

#[test]
fn at_its_deadline_a_job_is_asked_to_end_and_ten_seconds_later_it_is_ended() {
    let place = Place::new();
    let script = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.1; done";
    let start = Instant::now();
    let mut running = place.script(script).start(start).unwrap();
    let mut said = String::new();
    until(&mut running, start, &mut said, |said, _| said.contains("ready"));
    let just_before = start + HALF_AN_HOUR - Duration::from_millis(1);
    assert_eq!(running.poll(just_before).ended, None);
    let deadline = start + HALF_AN_HOUR;
    until(&mut running, deadline, &mut said, |said, _| said.contains("asked"));
    let grace = deadline + Duration::from_millis(9_999);
    assert_eq!(running.poll(grace).ended, None, "it has ten seconds");
    let killed = deadline + Duration::from_secs(10);
    until(&mut running, killed, &mut said, |_, ended| ended);
    let outcome = running.finish();
    assert_eq!(outcome.end, End::Deadline);
    assert_eq!(outcome.elapsed, HALF_AN_HOUR + Duration::from_secs(10));
    place.goes();
}

#[test]
fn a_job_that_ends_in_time_after_its_deadline_has_failed_all_the_same() {
    let place = Place::new();
    let start = Instant::now();
    let mut running =
        place.script("trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done").start(start).unwrap();
    let mut said = String::new();
    until(&mut running, start, &mut said, |said, _| said.contains("ready"));
    until(&mut running, start + HALF_AN_HOUR, &mut said, |_, ended| ended);
    assert_eq!(running.finish().end, End::Deadline);
    place.goes();
}

#[test]
fn a_person_can_end_a_job() {
    let place = Place::new();
    let start = Instant::now();
    let mut running = place.script("echo ready; sleep 1000").start(start).unwrap();
    let mut said = String::new();
    until(&mut running, start, &mut said, |said, _| said.contains("ready"));
    running.terminate(start);
    until(&mut running, start, &mut said, |_, ended| ended);
    assert_eq!(running.finish().end, End::Stopped);
    place.goes();
}

#[test]
fn what_a_job_leaves_running_ends_with_it() {
    let place = Place::new();
    let daemon = format!("setsid sleep 71001 >/dev/null 2>&1 & {}", once_it_is("sleep 71001"));
    let job = place.script(&format!("{daemon}; {daemon}"));
    let (outcome, said) = run(&job);
    assert_eq!((outcome.end, outcome.left_running), (End::Exit(0), 2), "{said}");
    assert_eq!(with_word("71001"), Vec::<String>::new());
    assert!(!group_of(&job).exists());
    place.goes();
}

#[test]
fn without_cgroups_what_a_job_leaves_running_is_found_by_its_root() {
    let place = Place::new();
    let script = format!(
        "{OTHER}; unshare -m setsid sleep 72001 >/dev/null 2>&1 & {}
        mount -t tmpfs none /tmp; setsid chroot /other /bin/sleep 72002 >/dev/null 2>&1 & {}",
        once_it_is("sleep 72001"),
        once_it_is("/bin/sleep 72002"),
    );
    let job = Job { cgroups: None, ..place.script(&script) };
    let (outcome, said) = run(&job);
    assert_eq!((outcome.end, outcome.left_running), (End::Exit(0), 2), "{said}");
    assert_eq!([with_word("72001"), with_word("72002")].concat(), Vec::<String>::new());
    place.goes();
}

#[test]
fn what_left_the_root_is_found_by_its_cgroup() {
    let place = Place::new();
    let script = format!(
        "mkdir /other; mount -t tmpfs none /other; {OTHER}
        setsid unshare -m chroot /other /bin/sleep 73001 >/dev/null 2>&1 & {}",
        once_it_is("/bin/sleep 73001"),
    );
    let (outcome, said) = run(&place.script(&script));
    assert_eq!((outcome.end, outcome.left_running), (End::Exit(0), 1), "{said}");
    assert_eq!(with_word("73001"), Vec::<String>::new());
    place.goes();
}

#[test]
fn what_a_job_mounts_is_seen_by_nobody_else_and_goes_with_it() {
    let place = Place::new();
    let before = fs::read_to_string("/proc/self/mounts").unwrap();
    let start = Instant::now();
    let script = "mkdir /here; mount -t tmpfs bootjack-74001 /here && mount -t tmpfs bootjack-74001 /run
        echo mounted; sleep 1000";
    let mut running = place.script(script).start(start).unwrap();
    let mut said = String::new();
    until(&mut running, start, &mut said, |said, _| said.contains("mounted"));
    let during = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!during.contains("bootjack-74001"), "{during}");
    running.terminate(start);
    until(&mut running, start, &mut said, |_, ended| ended);
    drop(running);
    let ours = |mounts: &str| mounts.lines().any(|l| l.contains(place.dir.path().to_str().unwrap()));
    assert!(ours(&before), "this test would see the root's own mount");
    place.goes();
}

#[test]
fn of_much_output_the_newest_is_kept() {
    let place = Place::new();
    let script = "yes 0123456789012345678901234567890123456789 | head -n 100000; echo the end";
    let (outcome, said) = run(&place.script(script));
    assert_eq!(said.len() as u64, outcome.bytes_of_output);
    assert_eq!(said.len(), 100_000 * 42 + 9, "nothing was lost on the way");
    let kept = fs::read_to_string(place.record()).unwrap();
    assert!(kept.len() <= (1 << 20) + 100, "{} bytes", kept.len());
    assert!(kept.starts_with("[bootjack: the first ") && kept.ends_with("the end\r\n"));
    assert_eq!(outcome.log.len(), 50);
    assert_eq!(outcome.log[49], "the end");
    place.goes();
}

#[test]
fn a_job_that_nobody_watches_any_more_is_gone() {
    let place = Place::new();
    let start = Instant::now();
    let mut running =
        place.script("trap '' TERM; setsid sleep 75001 & echo ready; sleep 75001").start(start).unwrap();
    until(&mut running, start, &mut String::new(), |said, _| said.contains("ready"));
    drop(running);
    assert_eq!(with_word("75001"), Vec::<String>::new());
    place.goes();
}

#[test]
fn when_all_its_processes_are_killed_the_memory_of_the_root_comes_back() {
    let place = Place::new();
    let start = Instant::now();
    let script = "dd if=/dev/zero of=/big bs=1M count=32 2>/dev/null; mount -t tmpfs none /tmp; echo ready; sleep 1000";
    let job = place.script(script);
    let mut running = job.start(start).unwrap();
    let mut said = String::new();
    until(&mut running, start, &mut said, |said, _| said.contains("ready"));
    // What process 1 does when the worker died: it kills, and unmounts. Here, the job's are all there is to kill.
    fs::write(group_of(&job).join("cgroup.kill"), "1").unwrap();
    until(&mut running, start, &mut said, |_, ended| ended);
    assert_eq!(running.finish().end, End::Signal("SIGKILL".into()));
    place.goes();
}
