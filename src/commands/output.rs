//! What a command leaves: a file that is whole under its name, or as it was before, and the result on standard output.
//! What is in them is the caller's.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::load::{Failure, Phase};

/// Prints a result, to which nothing is added.
///
/// # Errors
/// Nobody reads standard output any more, or its disk is full: a result that is lost is no success.
pub fn print(phase: Phase, text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|e| Failure::new(phase, "standard output", e))
}

/// Says what went wrong, and the way out, to a person.
pub fn complain(failure: &Failure) {
    eprintln!("bootjack: {failure}");
    if let Some(hint) = &failure.hint {
        eprintln!("hint: {hint}");
    }
}

/// Lets `write` fill a file beside `output` and renames it; after a failure nothing of it is left.
///
/// # Errors
/// What `write` says, or that the file cannot be made; `output` is then as it was.
pub fn whole<T>(output: &Path, write: impl FnOnce(&File) -> Result<T>) -> Result<T> {
    // A rename onto /dev/null or /dev/stdout would put a file in the place of the device.
    let device = fs::metadata(output).is_ok_and(|there| !there.is_file());
    ensure!(!device, "{} is there and is not a regular file", output.display());
    let part = part(output);
    let file = File::create(&part).with_context(|| format!("creating {}", part.display()))?;
    let made = write(&file).and_then(|made| {
        file.sync_all().with_context(|| format!("writing {}", part.display()))?;
        fs::rename(&part, output)
            .with_context(|| format!("renaming {} to {}", part.display(), output.display()))?;
        Ok(made)
    });
    made.map_err(|e| match fs::remove_file(&part) {
        Ok(()) => e,
        Err(left) => e.context(format!("{} is left over: {left}", part.display())),
    })
}

/// The name until it is complete.
fn part(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// <https://reproducible-builds.org/specs/source-date-epoch/>: whole seconds, and a malformed one is an error.
///
/// # Errors
/// The variable is there and is not a whole number.
pub fn source_date_epoch() -> Result<Option<i64>> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(error).context("reading SOURCE_DATE_EPOCH"),
        Ok(text) => {
            text.parse().map(Some).with_context(|| format!("SOURCE_DATE_EPOCH is {text:?}, not seconds"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("out");
        let filled = |mut file: &File| Ok(file.write_all(b"whole")?);
        whole(&output, filled).unwrap();
        let failed = whole(&output, |mut file| {
            file.write_all(b"half")?;
            Err::<(), _>(anyhow::anyhow!("no more"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        assert_eq!(fs::read(&output).unwrap(), b"whole");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for output in [&socket, &dir.path().to_owned()] {
            let refused = whole(output, |_| Ok(())).unwrap_err().to_string();
            assert!(refused.ends_with("is there and is not a regular file"), "{refused}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
