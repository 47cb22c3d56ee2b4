//! Finds the program that becomes process 1 and makes sure that this machine can run it, before anything of the
//! old root is touched. Starting it is `switch_root`'s.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};

/// A program that was looked at and can be started.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Init {
    /// Absolute path inside the root.
    pub path: String,
    pub args: Vec<String>,
}

/// What was looked for, and what is wrong with each.
#[derive(Debug, PartialEq, Eq)]
pub struct NoInit(pub Vec<(String, String)>);

impl fmt::Display for NoInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no init that can run")?;
        self.0.iter().try_for_each(|(path, why)| write!(f, "; {path}: {why}"))
    }
}

impl std::error::Error for NoInit {}

/// The kernel follows interpreters of interpreters this deep (fs/exec.c, exec_binprm).
const INTERPRETERS: usize = 5;

/// The first of `candidates` that `root` has and this machine can run.
///
/// # Errors
/// [`NoInit`] with every candidate and its fault.
pub fn find(root: &Path, candidates: &[String], args: &[String]) -> Result<Init, NoInit> {
    let mut faults = Vec::new();
    for path in candidates {
        match check(root, path) {
            Ok(()) => return Ok(Init { path: path.clone(), args: args.to_vec() }),
            Err(why) => faults.push((path.clone(), why)),
        }
    }
    Err(NoInit(faults))
}

/// Whether `root` has a program at `path` that this machine can run.
///
/// # Errors
/// Its fault, in words.
pub fn check(root: &Path, path: &str) -> Result<(), String> {
    runnable(root, path, INTERPRETERS)
}

fn runnable(root: &Path, path: &str, depth: usize) -> Result<(), String> {
    let mut file = open_inside(root, path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => "not there".to_owned(),
        _ => e.to_string(),
    })?;
    let stat = fstat(&file).map_err(|e| e.to_string())?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err("not a regular file".into());
    }
    if stat.st_mode & 0o111 == 0 {
        return Err("not executable".into());
    }
    let mut head = Vec::new();
    // The kernel looks at the first 256 bytes (BINPRM_BUF_SIZE); an ELF's program headers may lie further on.
    file.by_ref().take(4096).read_to_end(&mut head).map_err(|e| e.to_string())?;
    let interpreter = if head.starts_with(b"\x7fELF") {
        elf_interpreter(&head)?
    } else if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|&b| b == b'\n').next().unwrap_or_default();
        let words = String::from_utf8_lossy(line).into_owned();
        Some(words.split_whitespace().next().ok_or("its #! line names no interpreter")?.to_owned())
    } else {
        return Err("neither an ELF program nor a #! script".into());
    };
    match interpreter {
        None => Ok(()),
        Some(name) if depth == 0 => Err(format!("its interpreter {name}: too many interpreters")),
        Some(name) => {
            runnable(root, &name, depth - 1).map_err(|why| format!("its interpreter {name}: {why}"))
        }
    }
}

/// Opens a path as a process whose root is `root` would: links lead nowhere else.
fn open_inside(root: &Path, path: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
    let file = openat2(
        &root,
        path,
        // A fifo must not make PID 1 wait for its other end.
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )?;
    Ok(File::from(file))
}

/// Machine numbers of elf(5) this program is built for.
const MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    62
} else if cfg!(target_arch = "aarch64") {
    183
} else {
    0
};

/// The PT_INTERP of a 64-bit little-endian ELF program of this machine (elf(5)); none for a static one. 32-bit x86
/// programs run on x86_64 as well but are no init anybody means.
fn elf_interpreter(head: &[u8]) -> Result<Option<String>, String> {
    let short = || "its ELF header is cut short".to_owned();
    let u16_at = |at: usize| head.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]])).ok_or_else(short);
    let u64_at = |at: usize| -> Result<u64, String> {
        let bytes: [u8; 8] = head.get(at..at + 8).and_then(|b| b.try_into().ok()).ok_or_else(short)?;
        Ok(u64::from_le_bytes(bytes))
    };
    let machine = u16_at(18)?;
    if head.get(4..6) != Some(&[2, 1][..]) || machine != MACHINE {
        return Err(format!("built for another machine (ELF machine {machine}, this one is {MACHINE})"));
    }
    let (headers, size, count) = (u64_at(32)?, u64::from(u16_at(54)?), u64::from(u16_at(56)?));
    for index in 0..count {
        let at = headers.saturating_add(index * size) as usize;
        let Some(kind) = head.get(at..at.saturating_add(4)) else { return Err(short()) };
        // PT_INTERP = 3; p_offset at 8, p_filesz at 32.
        if kind == [3, 0, 0, 0] {
            let (from, length) = (u64_at(at + 8)? as usize, u64_at(at + 32)? as usize);
            let name = head.get(from..from.saturating_add(length)).ok_or_else(short)?;
            return Ok(Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn root() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
        symlink("usr/bin", dir.path().join("sbin")).unwrap();
        dir
    }

    fn put(root: &Path, name: &str, bytes: &[u8], mode: u32) {
        let path = root.join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn fault(root: &Path, path: &str) -> String {
        find(root, &[path.to_owned()], &[]).unwrap_err().0[0].1.clone()
    }

    #[test]
    fn the_first_init_that_can_run_is_taken_through_links_that_stay_inside() {
        let root = root();
        // This test's own program is dynamic: its interpreter has to be there as well.
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        put(root.path(), "usr/bin/systemd", &own, 0o755);
        symlink("/usr/bin/systemd", root.path().join("usr/bin/init")).unwrap();
        let Some(loader) = elf_interpreter(&own[..4096]).unwrap() else {
            panic!("the test program is dynamic")
        };
        assert_eq!(fault(root.path(), "/sbin/init"), format!("its interpreter {loader}: not there"));
        fs::create_dir_all(root.path().join(loader.trim_start_matches('/')).parent().unwrap()).unwrap();
        let real = fs::read(&loader).unwrap();
        put(root.path(), loader.trim_start_matches('/'), &real, 0o755);
        let candidates = ["/sbin/none".to_owned(), "/sbin/init".to_owned()];
        let init = find(root.path(), &candidates, &["single".into()]).unwrap();
        assert_eq!(init, Init { path: "/sbin/init".into(), args: vec!["single".into()] });
    }

    #[test]
    fn a_script_needs_its_interpreter() {
        let root = root();
        put(root.path(), "usr/bin/init", b"#! /usr/bin/sh -e\n", 0o755);
        assert_eq!(fault(root.path(), "/sbin/init"), "its interpreter /usr/bin/sh: not there");
    }

    #[test]
    fn what_cannot_run_says_why() {
        let root = root();
        put(root.path(), "usr/bin/plain", b"#!/bin/sh\n", 0o644);
        put(root.path(), "usr/bin/text", b"hello", 0o755);
        put(root.path(), "usr/bin/cut", b"\x7fELF\x02\x01", 0o755);
        let mut arm = vec![0; 64];
        arm[..6].copy_from_slice(b"\x7fELF\x02\x01");
        arm[18] = 40;
        put(root.path(), "usr/bin/arm", &arm, 0o755);
        assert_eq!(fault(root.path(), "/sbin/none"), "not there");
        assert_eq!(fault(root.path(), "/sbin"), "not a regular file");
        assert_eq!(fault(root.path(), "/sbin/plain"), "not executable");
        assert_eq!(fault(root.path(), "/sbin/text"), "neither an ELF program nor a #! script");
        assert_eq!(fault(root.path(), "/sbin/cut"), "its ELF header is cut short");
        assert!(fault(root.path(), "/sbin/arm").starts_with("built for another machine (ELF machine 40"));
    }

    #[test]
    fn scripts_that_name_each_other_come_to_an_end() {
        let root = root();
        put(root.path(), "usr/bin/a", b"#!/usr/bin/b\n", 0o755);
        put(root.path(), "usr/bin/b", b"#!/usr/bin/a\n", 0o755);
        assert!(fault(root.path(), "/usr/bin/a").ends_with("too many interpreters"));
    }
}
