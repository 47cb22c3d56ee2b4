//! [`Export`]: a directory of an NFS server, in every spelling people use. Mounting it is `mounted`'s.

use std::fmt;

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
        let wrong = |why: &str| {
            NotAnExport(format!("{why}: write nfs://SERVER/PATH, such as nfs://10.0.0.1/srv/images"))
        };
        let (four, rest) = match (text.strip_prefix("nfs4://"), text.strip_prefix("nfs://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(wrong("is no nfs:// location")),
        };
        let (server, path) =
            rest.find('/').map(|at| rest.split_at(at)).ok_or_else(|| wrong("has no path"))?;
        let (host, port) = match server.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(|| wrong("a bracket is not closed"))?;
                (host, after.strip_prefix(':'))
            }
            None => server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() {
            return Err(wrong("has no server"));
        }
        let port = port.map(|p| p.parse().map_err(|_| wrong("has no number for its port"))).transpose()?;
        let (path, options) = path.split_once(',').unwrap_or((path, ""));
        let options = options.split(',').filter(|o| !o.is_empty()).map(str::to_owned).collect();
        Ok(Self { four, host: host.to_owned(), port, path: path.to_owned(), options })
    }
}

impl Export {
    /// dracut's spellings: `nfs[4]:SERVER:/PATH[,OPTIONS]`, `nfs[4]:SERVER:/PATH:OPTIONS`, `nfs:OPTIONS:SERVER:/PATH`
    /// (Anaconda's), an IPv6 server in brackets, and `nfs[4]://…`.
    ///
    /// # Errors
    /// [`NotAnExport`].
    pub fn parse_dracut(text: &str) -> Result<Self, NotAnExport> {
        let wrong = |why: &str| {
            NotAnExport(format!("{why}: write nfs:SERVER:/PATH, such as nfs:10.0.0.1:/srv/images"))
        };
        let (kind, rest) = text.split_once(':').ok_or_else(|| wrong("names no NFS export"))?;
        if rest.starts_with("//") {
            return Self::parse_url(text);
        }
        if !matches!(kind, "nfs" | "nfs4") {
            return Err(wrong("names no NFS export"));
        }
        let (server, path) = rest.split_once(":/").ok_or_else(|| wrong("has no path"))?;
        let (before, host) = match server.strip_suffix(']').and_then(|s| s.split_once('[')) {
            Some((before, host)) => (before.trim_end_matches(':'), host),
            None => server.rsplit_once(':').unwrap_or(("", server)),
        };
        if host.is_empty() {
            return Err(wrong("has no server"));
        }
        let (path, after) = path.split_once([',', ':']).unwrap_or((path, ""));
        let options = before.split(',').chain(after.split(',')).filter(|o| !o.is_empty());
        Ok(Self {
            four: kind == "nfs4",
            host: host.to_owned(),
            port: None,
            path: format!("/{path}"),
            options: options.map(str::to_owned).collect(),
        })
    }
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
        for wrong in ["nfs://a", "nfs:///srv", "nfs://[::1/srv", "nfs://a:x/srv", "http://a/b"] {
            assert!(Export::parse_url(wrong).is_err(), "{wrong}");
        }
    }
}
