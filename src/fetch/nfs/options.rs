//! What mount.nfs(8) would have made of the options: the version, the addresses, and how long a server may be silent.

use std::net::IpAddr;

use crate::fetch::Timing;
use crate::volumes::Export;

/// NFS's own (RFC 7530, section 3.1).
pub(super) const PORT: u16 = 2049;

/// A version of the protocol, the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V42,
    V41,
    V40,
    V3,
}

impl Version {
    const ALL: [Self; 4] = [Self::V42, Self::V41, Self::V40, Self::V3];

    /// As `vers=` has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V42 => "4.2",
            Self::V41 => "4.1",
            Self::V40 => "4.0",
            Self::V3 => "3",
        }
    }
}

/// Those to try, in order: what the options say; those of 4 for `nfs4:`; or all.
///
/// # Errors
/// A version that does not exist, and security that needs a program which is not here; in words.
pub(super) fn versions(export: &Export) -> Result<Vec<Version>, String> {
    let mut wanted: Vec<Version> =
        Version::ALL.into_iter().filter(|v| !export.four || *v != Version::V3).collect();
    for option in &export.options {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let named: Vec<Version> = match (name, value) {
            ("vers" | "nfsvers", "4") => vec![Version::V42, Version::V41, Version::V40],
            ("vers" | "nfsvers", value) => Version::ALL.into_iter().filter(|v| v.name() == value).collect(),
            ("minorversion", value) => {
                Version::ALL.into_iter().filter(|v| v.name() == format!("4.{value}")).collect()
            }
            ("v3" | "v4" | "v4.0" | "v4.1" | "v4.2", "") => {
                return Err(format!("{name} is no option here: write vers={}", &name[1..]));
            }
            ("sec", "sys" | "none") => continue,
            ("sec", _) => return Err(format!("{option}: Kerberos is not in this version: write sec=sys")),
            _ => continue,
        };
        if named.is_empty() {
            return Err(format!("{option}: there are versions 3, 4, 4.0, 4.1 and 4.2: write vers=4.2"));
        }
        wanted = named;
    }
    Ok(wanted)
}

/// Words of mount(8) and mount.nfs(8) that the kernel does not know, or that are decided already: it is read only, in
/// the foreground, once, and without locks.
const NOT_THE_KERNELS: &[&str] = &[
    "ro",
    "rw",
    "bg",
    "fg",
    "retry",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "defaults",
    "_netdev",
    "nofail",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "remount",
    "comment",
    "vers",
    "nfsvers",
    "minorversion",
    "addr",
    "clientaddr",
    "lock",
    "nolock",
    "local_lock",
    // A server that falls silent has to become an error.
    "hard",
    "soft",
    "softerr",
    "softreval",
    "intr",
    "nointr",
    "timeo",
    "retrans",
];

/// The text for mount(2). What the options say comes last, where it wins.
pub(super) fn mount_options(
    export: &Export,
    version: Version,
    server: IpAddr,
    own: Option<IpAddr>,
    timing: &Timing,
) -> String {
    let mut options = vec![format!("vers={}", version.name()), format!("addr={server}")];
    match version {
        // Nothing is written: no locks, and no daemon for them.
        Version::V3 => options.push("nolock".into()),
        _ => options.extend(own.map(|own| format!("clientaddr={own}"))),
    }
    options.push(if server.is_ipv6() { "proto=tcp6" } else { "proto=tcp" }.into());
    if version == Version::V3 {
        options.push(if server.is_ipv6() { "mountproto=tcp6" } else { "mountproto=tcp" }.into());
    }
    // Tenths of a second, twice: with the one repetition it is a stall (nfs(5), `timeo`).
    let tenths = (timing.stall.as_millis() / 200).max(1);
    options.push(format!("soft,timeo={tenths},retrans=1"));
    options.extend(export.port.map(|port| format!("port={port}")));
    let theirs = export.options.iter().filter(|option| {
        let name = option.split('=').next().unwrap_or_default();
        !NOT_THE_KERNELS.contains(&name) && !name.starts_with("x-")
    });
    options.extend(theirs.cloned());
    options.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn export(text: &str) -> Export {
        Export::parse_url(text).unwrap()
    }

    fn tried(text: &str) -> String {
        match versions(&export(text)) {
            Ok(versions) => versions.iter().map(|v| v.name()).collect::<Vec<_>>().join(" "),
            Err(why) => why,
        }
    }

    #[test]
    fn the_newest_version_comes_first_and_the_options_decide() {
        for (text, versions) in [
            ("nfs://a/s", "4.2 4.1 4.0 3"),
            ("nfs4://a/s", "4.2 4.1 4.0"),
            ("nfs://a/s,vers=3", "3"),
            ("nfs://a/s,nfsvers=4", "4.2 4.1 4.0"),
            ("nfs://a/s,vers=4.1", "4.1"),
            ("nfs://a/s,minorversion=1,sec=sys", "4.1"),
            ("nfs://a/s,vers=5", "vers=5: there are versions 3, 4, 4.0, 4.1 and 4.2: write vers=4.2"),
            ("nfs://a/s,vers=", "vers=: there are versions 3, 4, 4.0, 4.1 and 4.2: write vers=4.2"),
            ("nfs://a/s,v3", "v3 is no option here: write vers=3"),
            ("nfs://a/s,sec=krb5p", "sec=krb5p: Kerberos is not in this version: write sec=sys"),
        ] {
            assert_eq!(tried(text), versions, "{text}");
        }
    }

    #[test]
    fn the_kernel_is_told_what_the_mount_program_would_tell_it() {
        let timing = Timing { connect: Duration::from_secs(10), stall: Duration::from_secs(10) };
        let made = |text: &str, version, server: &str| {
            let own = "10.0.0.9".parse().ok();
            mount_options(&export(text), version, server.parse().unwrap(), own, &timing)
        };
        assert_eq!(
            made(
                "nfs://a:2050/s,rw,bg,lock,rsize=8192,retry=3,x-systemd.automount",
                Version::V42,
                "10.0.0.1"
            ),
            "vers=4.2,addr=10.0.0.1,clientaddr=10.0.0.9,proto=tcp,soft,timeo=50,retrans=1,port=2050,rsize=8192"
        );
        assert_eq!(
            made("nfs://a/s,vers=3,mountport=20048,timeo=9,hard", Version::V3, "2001:db8::1"),
            "vers=3,addr=2001:db8::1,nolock,proto=tcp6,mountproto=tcp6,soft,timeo=50,retrans=1,mountport=20048"
        );
    }
}
