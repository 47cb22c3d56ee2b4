//! The last line before another kernel takes over: what starts, how large it is, how long nothing will be seen, and
//! which consoles will speak then. Whoever stands before a machine must not take the silence for a death.

use std::fmt;
use std::time::Duration;

/// What is said before the jump.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LastWords {
    /// `Linux 6.1.0-31-amd64`.
    pub name: String,
    /// `8 MiB of kernel, 70 MiB of initrd`.
    pub sizes: String,
    pub silence: Duration,
    /// Devices, the kernel's own last; empty: the command line names none.
    pub consoles: Vec<String>,
}

impl fmt::Display for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, sizes, silence, consoles } = self;
        // Rounded up: what comes sooner than said worries nobody.
        let seconds = silence.as_millis().div_ceil(1000).max(1);
        write!(f, "starting {name} by kexec: {sizes}; silent for about {seconds} s, then ")?;
        match consoles.as_slice() {
            [] => write!(f, "its default console speaks"),
            [one] => write!(f, "{one} speaks"),
            [others @ .., last] => write!(f, "{} and {last} speak", others.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_what_how_large_how_long_and_where() {
        let words = |consoles: &[&str]| LastWords {
            name: "Linux 6.1.0".into(),
            sizes: "8 MiB of kernel, 70 MiB of initrd".into(),
            silence: Duration::from_millis(4200),
            consoles: consoles.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(
            words(&["tty0", "ttyS0"]).to_string(),
            "starting Linux 6.1.0 by kexec: 8 MiB of kernel, 70 MiB of initrd; silent for about 5 s, then tty0 and ttyS0 speak"
        );
        assert!(words(&["ttyS0"]).to_string().ends_with("then ttyS0 speaks"));
        assert!(words(&[]).to_string().ends_with("then its default console speaks"));
    }
}
