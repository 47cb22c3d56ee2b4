//! The artifacts of a catalog with the places their locations stand at: for whoever asks the servers, and has to say
//! where what they answer is wrong. Asking is not done here.

use std::ops::Range;

use super::problem::{Page, Problem, Severity};
use super::written;
use crate::fetch::{Location, Pin};
use crate::verify::Sha256;

/// An artifact as far as its servers can be asked about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Exact bytes as fetched, where the catalog says so.
    pub size: Option<u64>,
    /// Digest of its chunk list.
    pub chunks: Option<Sha256>,
    /// Keys of its servers.
    pub pins: Vec<Pin>,
    /// In the order they are tried.
    pub mirrors: Vec<Mirror>,
}

/// One location and its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    pub location: Location,
    pub(super) place: Range<usize>,
}

impl Mirror {
    /// A complaint about this location; `text` is the catalog it was read from.
    pub fn problem(&self, text: &str, severity: Severity, message: String, hint: &str) -> Problem {
        let line = text.bytes().take(self.place.start).filter(|&b| b == b'\n').count() + 1;
        let problem = Problem::at(text, line, self.place.clone(), severity, message);
        Problem { hint: Some(hint.to_owned()), ..problem }
    }
}

/// Every artifact of the catalog `text`, which was found at `base`; those of refused entries too.
pub fn artifacts(text: &str, base: &Location) -> Vec<Placed> {
    let page = Page::new(text);
    written::walk(&page, base);
    page.into_artifacts()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_location_is_known_with_its_place() {
        let text = "version = 1\n[[entry]]\nid = 'a'\ntitle = 'A'\nboot = 'switch-root'\n\
            root = { url = ['é.tar', 'http://b/r.tar'], size = 7, unverified = true }\n\
            [[entry]]\nid = 'b'\nroot = { url = 'x.tar' }\n";
        let all = artifacts(text, &Location::parse("http://a/c.toml").unwrap());
        let shown: Vec<(Option<u64>, Vec<String>)> = all
            .iter()
            .map(|a| (a.size, a.mirrors.iter().map(|m| m.location.to_string()).collect()))
            .collect();
        let wanted = vec![
            (Some(7), vec!["http://a/%C3%A9.tar".to_owned(), "http://b/r.tar".to_owned()]),
            (None, vec!["http://a/x.tar".to_owned()]),
        ];
        assert_eq!(shown, wanted);
        let problem = all[0].mirrors[1].problem(text, Severity::Error, "m".into(), "h");
        assert_eq!((problem.line, problem.column, problem.width), (6, 26, 16));
    }

    #[test]
    fn kernels_initrds_and_modules_are_asked_for_once_each() {
        let text = "version = 1\n[defaults]\nmodules = { url = 'd' }\n\
            [[entry]]\nid = 'a'\nboot = 'kexec'\nkernel = { url = 'k' }\nmodules = { url = 'm' }\n\
            initrd = [{ url = 'i' }, { url = 'j' }]\nroot = { url = 'r' }\n\
            [[entry]]\nid = 'b'\nboot = 'run'\nroot = { url = 's' }\n";
        let all = artifacts(text, &Location::parse("http://a/c.toml").unwrap());
        let mut names: Vec<String> = all.iter().map(|a| a.mirrors[0].location.to_string()).collect();
        names.sort();
        let wanted = ["d", "i", "j", "k", "m", "r", "s"].map(|name| format!("http://a/{name}"));
        assert_eq!(names, wanted);
    }
}
