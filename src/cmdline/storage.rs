//! What the command line says of the way to a source: which devices are put together and waited for, through which
//! proxy and with how much trust a server is asked, which directories of the host are mounted beside the root.

use std::time::Duration;

use super::words::Word;
use super::{CmdlineProblem, ExtraMount, Params, value};
use crate::fetch::{NoProxy, Proxy, parse_proxy};
use crate::volumes::{Assembly, Tag};

/// Words of which each counts.
pub(super) const EACH: &[&str] =
    &["rd.lvm.lv", "rd.lvm.vg", "rd.luks.uuid", "rd.md.uuid", "mount", "mount-ro"];

/// Words of which the last counts.
pub(super) const LAST: &[&str] = &[
    "rd.lvm",
    "rd.luks",
    "rd.md",
    "rd.auto",
    "rd.retry",
    "rd.timeout",
    "rootdelay",
    "proxy",
    "no_proxy",
    "rd.noverifyssl",
];

impl Params {
    /// Reads them all. The problem is one that refuses the root: without this word it would be another, or would come
    /// another way.
    pub(super) fn way_to_the_root(&mut self, words: &[Word]) -> Option<CmdlineProblem> {
        self.devices(words);
        self.unverified_tls = self.last(words, "rd.noverifyssl", value::switch).unwrap_or(false);
        let proxy = self.asked(words, "proxy", parse_proxy).transpose();
        let not_for = self.asked(words, "no_proxy", NoProxy::parse).transpose();
        let mounts = self.mounts(words);
        let modes = words.iter().rfind(|w| w.value.is_none() && matches!(w.name.as_str(), "rw" | "ro"));
        self.writable = modes.map(|w| w.name == "rw");
        let refused = mounts.or(proxy.as_ref().err().cloned()).or(not_for.as_ref().err().cloned());
        let not_for = not_for.ok().flatten().unwrap_or_default();
        self.proxy = proxy.ok().flatten().map(|url| Proxy { url, not_for });
        refused
    }

    fn devices(&mut self, words: &[Word]) {
        let lvs = self.every(words, "rd.lvm.lv", volume_of_a_group);
        let vgs = self.every(words, "rd.lvm.vg", volume_group);
        let [luks, md] = ["rd.luks.uuid", "rd.md.uuid"].map(|name| self.every(words, name, uuid));
        let [auto, lvm, luks_too, md_too] = ["rd.auto", "rd.lvm", "rd.luks", "rd.md"]
            .map(|name| self.last(words, name, value::switch).unwrap_or(true));
        // Where nothing says so, each kind is put together if it is wanted; `rd.auto=0` wants only what is named.
        self.assembly = Assembly {
            without_lvm: !lvm || !auto && lvs.is_empty() && vgs.is_empty(),
            without_luks: !luks_too || !auto && luks.is_empty(),
            without_md: !md_too || !auto && md.is_empty(),
            lvs,
            vgs,
            luks,
            md,
        };
        let [retry, timeout, delay] =
            ["rd.retry", "rd.timeout", "rootdelay"].map(|name| self.last(words, name, value::seconds));
        // 0 is "for ever" to dracut's rd.timeout, and nothing at all to the kernel's rootdelay: no bound of theirs.
        let said = |wait: Option<Duration>| wait.filter(|wait| !wait.is_zero());
        self.device_wait = retry.into_iter().chain(said(timeout)).chain(said(delay)).max();
    }

    /// The values of all words of this name.
    fn every<T>(&mut self, words: &[Word], name: &str, read: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let mut values = Vec::new();
        for word in words.iter().filter(|w| w.name == name) {
            match read(word.value()) {
                Ok(value) => values.push(value),
                Err(cause) => self.problems.push(word.problem(cause)),
            }
        }
        values
    }

    /// `mount=` and `mount-ro=` in their common order. The same one twice is mounted once.
    fn mounts(&mut self, words: &[Word]) -> Option<CmdlineProblem> {
        let mut refused = Vec::new();
        for word in words.iter().filter(|w| matches!(w.name.as_str(), "mount" | "mount-ro")) {
            let writable = word.name == "mount";
            let tag = match Tag::parse(word.value()) {
                Ok(tag) => tag,
                Err(why) => {
                    refused.push(word.problem(why.to_string()));
                    continue;
                }
            };
            match self.mounts.iter().find(|mount| mount.tag == tag) {
                Some(earlier) if earlier.writable != writable => {
                    refused.push(word.problem(format!("/run/mnt/{tag} is there already, by another word")));
                }
                Some(_) => {}
                None => self.mounts.push(ExtraMount { tag, writable }),
            }
        }
        let first = refused.first().cloned();
        self.problems.append(&mut refused);
        first
    }
}

/// `VG/LV`.
fn volume_of_a_group(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((group, volume)) if is_lvms(group) && is_lvms(volume) => Ok(text.to_owned()),
        _ => Err("is no volume of a group".into()),
    }
}

fn volume_group(text: &str) -> Result<String, String> {
    if text.is_empty() || is_lvms(text) { value::text(text) } else { Err("is no name of a group".into()) }
}

/// Names as LVM takes them (lvm(8), "valid names").
fn is_lvms(name: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"+_.-".contains(&b);
    !matches!(name, "" | "." | "..") && !name.starts_with('-') && name.bytes().all(fine)
}

/// Or the beginning of one; dracut's may say `luks-` before it.
fn uuid(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("luks-").unwrap_or(text);
    let fine = (text.is_empty() || !digits.is_empty())
        && digits.bytes().all(|b| b.is_ascii_hexdigit() || b"-:".contains(&b));
    if fine { value::text(text) } else { Err("is no UUID".into()) }
}
