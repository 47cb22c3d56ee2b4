//! The command line of a second kernel as its author wrote it: what is worth a warning in it. What is made of it is
//! `cmdline`'s, a neighbour that is not known here.

use std::ops::Range;

use super::problem::{Page, quoted};

/// Bytes that a kernel takes: COMMAND_LINE_SIZE of arch/x86/include/asm/setup.h is 2048, with the zero at the end.
const LONGEST: usize = 2047;

/// Words that are named in a warning; there may be more.
const NAMED: usize = 3;

/// Warns of what will not arrive as it is written.
pub(super) fn judge(page: &Page, text: &str, place: &Range<usize>) {
    let out: Vec<&str> = words(text).filter(|word| is_taken_out(word)).collect();
    if !out.is_empty() {
        let named: Vec<String> = out.iter().take(NAMED).map(|word| quoted(word)).collect();
        let more = if out.len() > NAMED { " and more" } else { "" };
        let hint = "they are bootjack's own and other loaders': the second kernel gets those that it needs";
        page.warning(place, format!("taken out of \"cmdline\": {}{more}", named.join(", ")), hint);
    }
    if text.len() > LONGEST {
        let message = format!("\"cmdline\" has {} bytes: x86 kernels take {LONGEST}", text.len());
        page.warning(place, message, "what is beyond is cut off, and bootjack adds words of its own");
    }
    if text.matches('"').count() % 2 == 1 {
        let hint =
            "a quote opens or closes, there are no escapes: with an odd number the last word has no end";
        page.warning(place, "\"cmdline\" has a quote that is not closed", hint);
    }
}

/// The words before a bare `--`, as the kernel splits them (lib/cmdline.c, `next_arg`): quotes keep spaces together.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut in_quote = false;
    let split = text.split(move |c: char| {
        in_quote ^= c == '"';
        !in_quote && (c.is_ascii_whitespace() || c == '\u{b}')
    });
    split.filter(|word| !word.is_empty()).take_while(|word| *word != "--").map(|word| word.trim_matches('"'))
}

/// What an earlier loader left, or what bootjack sets anew.
fn is_taken_out(word: &str) -> bool {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let lower = name.to_ascii_lowercase();
    let ours = lower.starts_with("bootjack.") || lower.starts_with("rd.tmpfs.");
    let root = name == "root" && value.trim_start_matches('"').starts_with("tmpfs:");
    ours || root || matches!(name, "BOOT_IMAGE" | "initrd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_of_bootjack_and_of_loaders_are_taken_out() {
        let text = "quiet initrd=x root=tmpfs:http://a/r \"root=tmpfs:/b c\" root=\"tmpfs:/d\" rd.tmpfs.size=1g \
            Bootjack.shell BOOT_IMAGE=k a=\"b initrd=c\" root=/dev/vda1 initrdmem=1 rd.tmpfs -- initrd=d";
        let out: Vec<&str> = words(text).filter(|word| is_taken_out(word)).collect();
        let wanted = [
            "initrd=x",
            "root=tmpfs:http://a/r",
            "root=tmpfs:/b c",
            "root=\"tmpfs:/d",
            "rd.tmpfs.size=1g",
            "Bootjack.shell",
            "BOOT_IMAGE=k",
        ];
        assert_eq!(out, wanted);
    }
}
