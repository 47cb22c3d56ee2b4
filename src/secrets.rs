//! Passwords in texts that others read: logs, reports, screens, messages. Whoever shows a location does so without its
//! password (`fetch`); this is for texts that were written by somebody else, a kernel command line or a catalog, and come
//! out again in a message.

/// Words whose value may be `USER:PASSWORD@HOST` without a scheme before it.
const BARE: &str = "proxy=";

/// The same without the passwords of URLs: `http://user:***@host/`, as locations show themselves.
pub fn hidden(text: &str) -> String {
    without(text, |_| "***".to_owned())
}

/// The same, as long as it was: for what is pointed at by column.
pub fn starred(text: &str) -> String {
    without(text, |password| "*".repeat(password.chars().count()))
}

/// A line of a catalog without the value of `password`, as long as it was: somebody may have taken the password itself for
/// what belongs there.
pub fn valueless(line: &str) -> String {
    let key = "password";
    let named = line.match_indices(key).map(|(at, _)| at + key.len());
    let value = |at: &usize| {
        let rest = line[*at..].trim_start_matches(['"', '\'']).trim_start();
        rest.strip_prefix('=').map(|value| line.len() - value.len())
    };
    let Some(from) = named.filter_map(|at| value(&at)).next() else { return line.to_owned() };
    let star = |c: char| if c.is_whitespace() { c } else { '*' };
    line[..from].chars().chain(line[from..].chars().map(star)).collect()
}

fn without(text: &str, stars: impl Fn(&str) -> String) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = authority(rest) {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c: char| c.is_whitespace() || "/?#\"'<>".contains(c)).unwrap_or(from.len());
        shown += before;
        // A password may hold an `@` that nobody escaped.
        match from[..end].rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?, host))) {
            Some(((user, password), host)) => {
                shown += &format!("{user}:{}@{host}", stars(password));
            }
            None => shown += &from[..end],
        }
        rest = &from[end..];
    }
    shown + rest
}

/// Where the next thing begins that may hold a password.
fn authority(text: &str) -> Option<usize> {
    let url = text.find("://").map(|at| at + 3);
    // With a scheme behind it, that is what counts.
    let bare = text.match_indices(BARE).map(|(at, _)| at + BARE.len());
    let bare = bare.into_iter().find(|at| !scheme(&text[*at..]));
    [url, bare].into_iter().flatten().min()
}

fn scheme(text: &str) -> bool {
    text.trim_start_matches(['"', '\''])
        .trim_start_matches(|c: char| c.is_ascii_alphanumeric())
        .starts_with("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_left_wherever_it_stands() {
        for (text, want) in [
            ("http://me:secret@host:80/a?b=c@d", "http://me:***@host:80/a?b=c@d"),
            ("proxy=me:secret@host:3128 quiet", "proxy=me:***@host:3128 quiet"),
            ("proxy=http://me:secret@host", "proxy=http://me:***@host"),
            ("\"proxy=me:secret@host\"", "\"proxy=me:***@host\""),
            ("a http://a:secret@b and ftp://c:secret@d", "a http://a:***@b and ftp://c:***@d"),
            (
                "url = [\"https://a:s@ecret@b/\", 'tftp://c:secret@d']",
                "url = [\"https://a:***@b/\", 'tftp://c:***@d']",
            ),
            ("http://:secret@host", "http://:***@host"),
            ("proxy=a:secret@b proxy=c:secret@d", "proxy=a:***@b proxy=c:***@d"),
        ] {
            assert_eq!(hidden(text), want);
            let starred = starred(text);
            assert_eq!(starred.chars().count(), text.chars().count(), "{starred}");
            assert!(!starred.contains("ecret"), "{starred}");
        }
    }

    #[test]
    fn the_value_of_a_password_is_never_shown() {
        for (line, want) in [
            ("password = \"s3cret\"", "password = ********"),
            ("menu = { title = 'x', \"password\"='s' }", "menu = { title = 'x', \"password\"=*** *"),
            ("menu.password=x y # z", "menu.password=* * * *"),
            ("the password of a proxy", "the password of a proxy"),
        ] {
            assert_eq!(valueless(line), want);
        }
    }

    #[test]
    fn what_is_no_password_stays() {
        for kept in [
            "http://host/a@b:c",
            "http://me@host/",
            "a://b",
            "no url",
            "x:y@z",
            "://",
            "http://[::1]:80/a",
            "proxy=",
            "proxy=host:3128",
            "mail me@host",
        ] {
            assert_eq!((hidden(kept), starred(kept)), (kept.to_owned(), kept.to_owned()));
        }
    }
}
