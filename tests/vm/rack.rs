//! The catalog of a rack as an operator would write it, with an entry of every kind: what the pictures of the documentation
//! show. Of its roots one is there, a Debian.

use std::sync::Arc;

use crate::lab::Root;
use crate::server::{Answer, Server};

/// Where a machine of [`net`] finds the server.
pub const SERVER: &str = "http://10.0.2.100/";

/// The encrypted disk that one entry is on.
pub const LUKS: &str = "5b4c2f0e-9d9a-4a55-8a51-2f7d6c1b0a99";

/// The catalog, as one that `server` serves with all it has.
pub fn catalog(server: &Server, debian: &Root, busybox: &Root) -> String {
    let put = |name: &str, bytes: &Arc<Vec<u8>>| server.put(name, &[Answer::Good(bytes.clone())]);
    put("debian.tar.zst", &debian.bytes);
    put("flash.tar.zst", &busybox.bytes);
    CATALOG
        .replace("DEBIAN", &debian.artifact("debian.tar.zst"))
        .replace("FLASH", &busybox.artifact("flash.tar.zst"))
        .replace("DISK", &busybox.artifact(&format!("UUID={LUKS}:/images/rescue.tar.zst")))
        .replace("DIGEST", &debian.sha256)
}

/// QEMU's words for a network in which this server has a name of its own, and the machine has one, too.
pub fn net(server: &Server) -> [String; 4] {
    let forward = format!("guestfwd=tcp:10.0.2.100:80-cmd:busybox nc 127.0.0.1 {}", server.port());
    let user = format!("user,id=n0,hostname=node7,{forward}");
    ["-netdev".into(), user, "-device".into(), "virtio-net-pci,netdev=n0".into()]
}

const CATALOG: &str = r#"version = 1

[menu]
title   = "Rack 12, row B"
timeout = 240
default = "debian"

[[entry]]
id    = "debian"
title = "Debian 12 (in memory)"
help  = "systemd, ssh and the usual tools. Touches no disk."
group = "Systems"
boot  = "switch-root"
root  = DEBIAN

[[entry]]
id      = "kernel"
title   = "Debian 12 with its own kernel"
group   = "Systems"
boot    = "kexec"
kernel  = { url = "debian/vmlinuz", sha256 = "DIGEST", size = 8213440 }
cmdline = "console=ttyS0,115200"
root    = DEBIAN

[[entry]]
id    = "nightly"
title = "Nightly build, whatever it is today"
help  = "Last night's build. Not tested by anybody."
group = "Systems"
boot  = "switch-root"
root  = { url = "nightly.tar.zst", unverified = true }

[[entry]]
id    = "bios"
title = "Flash the BIOS"
help  = "2.14, for the boards of row B. Takes three minutes."
group = "Maintenance"
boot  = "run"
root  = FLASH
[entry.run]
command = ["/bin/sh", "-c", 'for n in $(seq 1 40); do echo "reading block $n of 40"; done; echo "BIOS 2.13 -> 2.14"; printf "[######    ]  60 %%"; sleep 1000']
timeout = "30m"
on_failure = "menu"

[[entry]]
id    = "rescue"
title = "Rescue console, from the disk"
group = "Maintenance"
boot  = "switch-root"
root  = DISK

[[entry]]
id    = "memtest"
title = "Memory test"
group = "Maintenance"
boot  = "kexec"
kernel = { url = "memtest.bin", sha265 = "DIGEST" }

[[entry]]
id    = "off"
title = "Power off"
group = "This machine"
boot  = "poweroff"
"#;
