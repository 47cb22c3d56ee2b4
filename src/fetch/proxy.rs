//! `proxy=`: who is asked in place of every HTTP server. How, is `http`'s.

use url::Url;

/// Reads a proxy as curl does: `http://` may be left out; user and password may stand before the host.
///
/// # Errors
/// What is wrong, in words.
pub fn parse_proxy(text: &str) -> Result<Url, String> {
    if text.is_empty() {
        return Err("no value".into());
    }
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&full).map_err(|why| format!("is no URL: {why}"))?;
    if url.scheme() != "http" {
        return Err(format!("a proxy is asked by http, not by {}", url.scheme()));
    }
    match (url.path(), url.query(), url.fragment()) {
        ("" | "/", None, None) => Ok(url),
        _ => Err("a proxy has nothing behind its port".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_as_curl_reads_it() {
        for (text, url) in [
            ("http://10.0.0.1:3128", "http://10.0.0.1:3128/"),
            ("http://10.0.0.1:3128/", "http://10.0.0.1:3128/"),
            ("proxy.lab:3128", "http://proxy.lab:3128/"),
            ("http://u:p%40q@[::1]:8443", "http://u:p%40q@[::1]:8443/"),
        ] {
            assert_eq!(parse_proxy(text).map(String::from).as_deref(), Ok(url), "{text}");
        }
        for (wrong, why) in [
            ("", "no value"),
            ("socks5://h:1080", "a proxy is asked by http, not by socks5"),
            ("https://h", "a proxy is asked by http, not by https"),
            ("http://", "is no URL: empty host"),
            ("h:port", "is no URL: invalid port number"),
            ("http://h:99999", "is no URL: invalid port number"),
            ("http://h/path", "a proxy has nothing behind its port"),
            ("http://h?x", "a proxy has nothing behind its port"),
        ] {
            assert_eq!(parse_proxy(wrong), Err(why.to_owned()), "{wrong}");
        }
    }
}
