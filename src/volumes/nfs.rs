//! [`Export`]: a directory of an NFS server, in every spelling people use. Mounting it is `mounted`'s.

use std::fmt;
use std::net::Ipv6Addr;

/// A directory that an NFS server exports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Export {
    /// `nfs4:`: version 4 is asked for; else what the options say, or what the server has.
    pub four: bool,
    /// Name or address, an IPv6 address without brackets.
    pub host: String,
    pub port: Option<u16>,
    /// Absolute, on the server.
    pub path: String,
    /// As written (nfs(5)): `vers=3`, `nolock`; `rw` and `ro` too.
    pub options: Vec<String>,
}

/// Why a text names no export; the words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnExport(pub String);

impl Export {
    /// `nfs[4]://HOST[:PORT]/PATH[,OPTIONS]` (RFC 2224 with dracut's options).
    ///
    /// # Errors
    /// [`NotAnExport`].
    pub fn parse_url(text: &str) -> Result<Self, NotAnExport> {
        let wrong = |why: &str| wrong(why, "nfs://SERVER/PATH, such as nfs://10.0.0.1/srv/images");
        let (four, rest) = match (text.strip_prefix("nfs4://"), text.strip_prefix("nfs://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(wrong("is no nfs:// location")),
        };
        let (server, path) =
            rest.find('/').map(|at| rest.split_at(at)).ok_or_else(|| wrong("has no path"))?;
        let (host, after) = host_of(server).map_err(wrong)?;
        let port = match after {
            "" => None,
            port => Some(port.strip_prefix(':').and_then(port_of).ok_or_else(|| wrong(NO_PORT))?),
        };
        let (path, options) = path.split_once(',').unwrap_or((path, ""));
        Self { four, host, port, path: path.to_owned(), options: options_of(options) }.checked(wrong)
    }

    /// Every spelling of dracut.cmdline(7), as `root=tmpfs:NFS=` takes them: `nfs[4]:SERVER:/PATH`, with options after
    /// another `:` or `,`; Anaconda's `nfs:OPTIONS:SERVER:/PATH`; `nfs://SERVER[:PORT]/PATH`. An IPv6 address stands in
    /// brackets.
    ///
    /// # Errors
    /// [`NotAnExport`].
    pub fn parse_dracut(text: &str) -> Result<Self, NotAnExport> {
        if text.starts_with("nfs://") || text.starts_with("nfs4://") {
            return Self::parse_url(text);
        }
        let wrong =
            |why: &str| wrong(why, "nfs:SERVER:/PATH[,OPTIONS], such as nfs:10.0.0.1:/srv/images,vers=3");
        let (four, rest) = match (text.strip_prefix("nfs4:"), text.strip_prefix("nfs:")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(wrong("begins with neither nfs: nor nfs4:")),
        };
        if rest.starts_with('/') {
            // dracut would ask DHCP; an archive's server is always said.
            return Err(wrong("has no server"));
        }
        let (server, path) = rest.split_once(":/").ok_or_else(|| wrong("has no path: no :/ in it"))?;
        // Of an address in brackets the colons are its own.
        let before = server.find('[').unwrap_or(server.len());
        let (first, server) = match server[..before].rfind(':') {
            Some(at) => (&server[..at], &server[at + 1..]),
            None => ("", server),
        };
        let (host, after) = host_of(server).map_err(wrong)?;
        if !after.is_empty() {
            return Err(wrong("has something between server and path"));
        }
        let (path, last) = path.split_once([',', ':']).unwrap_or((path, ""));
        let options = [options_of(first), options_of(last)].concat();
        Self { four, host, port: None, path: format!("/{path}"), options }.checked(wrong)
    }

    /// With a first `%s` of the path replaced by the name of this machine, as dracut does: everybody has a directory of
    /// their own.
    pub fn path_for(&self, name: &str) -> String {
        self.path.replacen("%s", name, 1)
    }

    fn checked(self, wrong: impl Fn(&str) -> NotAnExport) -> Result<Self, NotAnExport> {
        let strange = |c: char| c.is_control();
        match self.path.split('/').any(|part| part == "..") {
            true => Err(wrong("has a .. in its path")),
            false if self.path.contains(strange) => Err(wrong("has a control character in its path")),
            false if self.options.iter().any(|o| o.contains(|c: char| strange(c) || c == ':')) => {
                Err(wrong("has options that are none"))
            }
            false => Ok(self),
        }
    }
}

const NO_PORT: &str = "has no number from 1 to 65535 for its port";

fn wrong(why: &str, example: &str) -> NotAnExport {
    NotAnExport(format!("{why}: write {example}"))
}

/// The server, out of its brackets, and what stands after it.
fn host_of(text: &str) -> Result<(String, &str), &'static str> {
    let (host, after) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("a bracket is not closed")?;
            host.parse::<Ipv6Addr>().map_err(|_| "no IPv6 address is in the brackets")?;
            (host, after)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let name = |c: char| c.is_alphanumeric() || "-._:".contains(c);
    match host {
        "" => Err("has no server"),
        host if !host.chars().all(name) => Err("has a server that is neither name nor address"),
        host => Ok((host.to_owned(), after)),
    }
}

fn port_of(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

fn options_of(text: &str) -> Vec<String> {
    text.split(',').filter(|o| !o.is_empty()).map(str::to_owned).collect()
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.four { "nfs4://" } else { "nfs://" })?;
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)?;
        self.options.iter().try_for_each(|option| write!(f, ",{option}"))
    }
}

impl fmt::Display for NotAnExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotAnExport {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_url_reads_back_as_written() {
        for text in ["nfs://a/srv", "nfs4://[2001:db8::1]:2049/srv/x,vers=4.2,soft", "nfs://10.0.0.1:20490/"]
        {
            assert_eq!(Export::parse_url(text).unwrap().to_string(), text);
        }
    }

    /// What it comes to, as a URL.
    fn dracut(text: &str) -> String {
        Export::parse_dracut(text).map_or_else(|e| e.to_string(), |export| export.to_string())
    }

    #[test]
    fn every_spelling_of_dracut_comes_to_its_export() {
        for (text, meant) in [
            ("nfs:10.0.0.1:/srv/images", "nfs://10.0.0.1/srv/images"),
            ("nfs4:server:/srv", "nfs4://server/srv"),
            ("nfs:server:/", "nfs://server/"),
            ("nfs:server:/srv,vers=3,rsize=8192", "nfs://server/srv,vers=3,rsize=8192"),
            ("nfs:server:/srv:vers=3,lock", "nfs://server/srv,vers=3,lock"),
            ("nfs4:server:/srv:ro", "nfs4://server/srv,ro"),
            ("nfs:server:/srv:", "nfs://server/srv"),
            ("nfs:vers=3,rw:server:/srv", "nfs://server/srv,vers=3,rw"),
            ("nfs:nolock:[2001:db8::1]:/srv", "nfs://[2001:db8::1]/srv,nolock"),
            ("nfs:vers=3:server:/srv:port=20490", "nfs://server/srv,vers=3,port=20490"),
            ("nfs:[fe80::1]:/srv,ro", "nfs://[fe80::1]/srv,ro"),
            ("nfs4:[::1]:/srv/%s", "nfs4://[::1]/srv/%s"),
            ("nfs://server/srv", "nfs://server/srv"),
            ("nfs://server:2050/srv,soft", "nfs://server:2050/srv,soft"),
            ("nfs4://[::1]:2049/srv", "nfs4://[::1]:2049/srv"),
        ] {
            assert_eq!(dracut(text), meant, "{text}");
        }
    }

    #[test]
    fn a_wrong_spelling_says_what_is_wrong_and_how_it_is_right() {
        for (text, why) in [
            ("", "begins with neither nfs: nor nfs4:"),
            ("cifs://server/srv", "begins with neither nfs: nor nfs4:"),
            ("NFS:server:/srv", "begins with neither nfs: nor nfs4:"),
            ("nfs:", "has no path"),
            ("nfs:server", "has no path"),
            ("nfs:server:srv", "has no path"),
            ("nfs:/srv", "has no server"),
            ("nfs::/srv", "has no server"),
            ("nfs:ro::/srv", "has no server"),
            ("nfs:a b:/srv", "has a server that is neither name nor address"),
            ("nfs:[::1:/srv", "a bracket is not closed"),
            ("nfs:[server]:/srv", "no IPv6 address is in the brackets"),
            ("nfs:[fe80::1%eth0]:/srv", "no IPv6 address is in the brackets"),
            ("nfs:[::1]x:/srv", "has something between server and path"),
            ("nfs:server:/srv/../etc", "has a .. in its path"),
            ("nfs:server:/srv:ro:rw", "has options that are none"),
            ("nfs://server", "has no path"),
            ("nfs:///srv", "has no server"),
            ("nfs://[::1/srv", "a bracket is not closed"),
            ("nfs://server:x/srv", "has no number from 1 to 65535 for its port"),
            ("nfs://server:0/srv", "has no number from 1 to 65535 for its port"),
            ("nfs://server:/srv", "has no number from 1 to 65535 for its port"),
            ("nfs://server:65536/srv", "has no number from 1 to 65535 for its port"),
            ("nfs://2001:db8::1/srv", "has no number from 1 to 65535 for its port"),
            ("nfs://server/../srv", "has a .. in its path"),
        ] {
            let said = dracut(text);
            assert!(said.starts_with(why), "{text}: {said}");
            assert!(said.contains(": write nfs:") && said.contains("such as nfs:"), "{text}: {said}");
        }
        assert!(Export::parse_url("http://a/b").is_err());
    }

    #[test]
    fn only_the_first_place_for_the_machines_name_is_filled() {
        let export = Export::parse_dracut("nfs:server:/srv/%s/%s").unwrap();
        assert_eq!(export.path_for("node7"), "/srv/node7/%s");
    }
}
