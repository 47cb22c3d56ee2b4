//! What the kernel's log says from a moment on (Documentation/ABI/testing/dev-kmsg): the reason behind an errno often
//! stands only there.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;

/// Lines kept: a refusal is one or two, a warning with a call trace is longer than a screen.
const KEPT: usize = 8;

/// A record is never longer (`PRINTK_MESSAGE_MAX` in kernel/printk/internal.h); a shorter buffer is EINVAL.
const RECORD_MAX: usize = 2048;

/// Open at the log's end as it was.
pub(super) struct News(File);

impl News {
    /// From here on.
    ///
    /// # Errors
    /// Of opening /dev/kmsg.
    pub(super) fn from_now() -> io::Result<Self> {
        // Else the read after the last record would wait for the next.
        let nonblocking = OFlags::NONBLOCK.bits() as i32;
        let mut file = OpenOptions::new().read(true).custom_flags(nonblocking).open("/dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self(file))
    }

    fn lines(&self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut record = vec![0; RECORD_MAX];
        loop {
            match (&self.0).read(&mut record) {
                Ok(0) => return Ok(lines),
                Ok(n) => lines.extend(message(&String::from_utf8_lossy(&record[..n]))),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(lines),
                // EPIPE: records were overwritten before they were read; the next read gives the oldest there is.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// The last lines since then; a log that cannot be read is said to be so in their place.
pub(super) fn last(log: &io::Result<News>) -> Vec<String> {
    let lines = match log {
        Ok(news) => news.lines().map_err(|e| e.to_string()),
        Err(e) => Err(e.to_string()),
    };
    match lines {
        Ok(mut lines) => lines.split_off(lines.len().saturating_sub(KEPT)),
        Err(e) => vec![format!("(the kernel's log cannot be read: {e})")],
    }
}

/// The text of a record, if the kernel itself wrote it: `level and facility,sequence,time,flags;text`, then lines of
/// a dictionary that begin with a space. The kernel's facility is 0, and stands above the three bits of the level.
fn message(record: &str) -> Option<String> {
    let (prefix, text) = record.split_once(';')?;
    let priority: u32 = prefix.split(',').next()?.parse().ok()?;
    (priority >> 3 == 0).then(|| text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn a_record_of_the_kernel_is_its_text_without_numbers_and_dictionary() {
        let record =
            "3,1021,50712361,-;kexec_file: Enforced; failed (-129).\n SUBSYSTEM=pci\n DEVICE=+pci:0\n";
        assert_eq!(message(record).as_deref(), Some("kexec_file: Enforced; failed (-129)."));
        assert_eq!(message("6,7,8,c,caller=T1;\n").as_deref(), Some(""));
    }

    #[test]
    fn what_programs_wrote_into_the_kernels_log_is_passed_over() {
        assert_eq!(message("14,1022,50712362,-;bootjack: loading\n"), None);
        assert_eq!(message("no record"), None);
    }
}
