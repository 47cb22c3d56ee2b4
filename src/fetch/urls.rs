//! Texts of strangers → URLs: the parser is `url`'s, what may reach it is decided here. A host beyond ASCII may not: what
//! there is in place of the tables for such names (Cargo.toml) takes them for granted to have been lowered.

use url::Url;

/// A URL that stands alone, in the parser's words if it is none.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    guarded(text, Url::parse)
}

/// A URL as it stands in what `base` names (RFC 3986, section 5).
pub(super) fn join(base: &Url, text: &str) -> Result<Url, String> {
    guarded(text, |text| base.join(text))
}

fn guarded(text: &str, parse: impl Fn(&str) -> Result<Url, url::ParseError>) -> Result<Url, String> {
    // The parser leaves out tabs and line ends, wherever they are: what it reads would be another text than what was judged.
    if let Some(c) = text.chars().find(char::is_ascii_control) {
        return Err(format!("a control character, U+{:04X}, cannot be in it", u32::from(c)));
    }
    if !has_plain_host(text) {
        return Err("a host name is ASCII; others are written in punycode, like xn--bcher-kva.example".into());
    }
    parse(text).map_err(|why| why.to_string())
}

/// Whether the host is written in ASCII, and not in octets with `%` either. Where the parser begins with it is more than
/// the standard's grammar says (WHATWG URL, "special authority ignore slashes state"): behind the scheme there may be any
/// number of slashes of either kind, also none.
fn has_plain_host(text: &str) -> bool {
    let text = text.trim_start_matches(' ');
    let scheme = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
    let after = scheme.and_then(|end| text[end..].strip_prefix(':').filter(|_| end > 0));
    let bare = after.unwrap_or(text).trim_start_matches(['/', '\\']);
    if after.is_none() && text.len() - bare.len() < 2 {
        // A path: the host is that of the base.
        return true;
    }
    let authority = bare.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.bytes().all(|b| b.is_ascii() && b != b'%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_to_write_it_brings_a_host_beyond_ascii_to_the_parser() {
        let base = Url::parse("http://a/b/c").unwrap();
        for text in [
            "http://Bü/r",
            "http:Bü/r",
            "http:/Bü",
            "http:.0.z1QQ\u{396}://10.",
            " http:\\\\/Bü",
            "http:///Bü",
            "http://u:p@Bü:80/r",
            "ftp://B%C3%BC/r",
            "HTTPS:Bü",
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains("punycode"), "{text}: {why}");
            assert!(join(&base, text).unwrap_err().contains("punycode"), "{text}");
        }
        for text in ["//Bü/r", "\\/Bü", "/\\Bü", " //Bü"] {
            assert!(join(&base, text).unwrap_err().contains("punycode"), "{text}");
        }
        for text in ["http:/\t/Bü", "/\t/Bü", "ht\ntp://Bü", "\u{1}//Bü", "http://a/\r"] {
            assert!(join(&base, text).unwrap_err().contains("control character, U+00"), "{text}");
        }
    }

    #[test]
    fn beyond_the_host_any_letter_may_stand() {
        let base = Url::parse("http://a/b/c").unwrap();
        for (text, url) in [
            ("http://bü:ü@a.example/ü?ü#ü", "http://b%C3%BC:%C3%BC@a.example/%C3%BC?%C3%BC#%C3%BC"),
            ("ü", "http://a/b/%C3%BC"),
            ("/ü:ü", "http://a/%C3%BC:%C3%BC"),
            ("?ü", "http://a/b/c?%C3%BC"),
            ("%C3%BC/r", "http://a/b/%C3%BC/r"),
            ("ü:x", "http://a/b/%C3%BC:x"),
        ] {
            assert_eq!(join(&base, text).map(String::from).as_deref(), Ok(url), "{text}");
        }
    }
}
