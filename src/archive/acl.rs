//! POSIX ACLs between their two spellings: the text in archives (`user::rw-,user:1000:r--,…`) and the extended
//! attributes Linux keeps them in (linux/posix_acl_xattr.h).

/// The attribute of the ACL that grants access.
pub(super) const ACCESS: &str = "system.posix_acl_access";
/// The attribute of the ACL that new files in a directory inherit.
pub(super) const DEFAULT: &str = "system.posix_acl_default";

/// POSIX_ACL_XATTR_VERSION.
const VERSION: u32 = 2;
/// The id of entries that have none: ACL_UNDEFINED_ID.
const NO_ID: u32 = u32::MAX;

// Tags of linux/posix_acl.h; the kernel wants entries in this order.
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// The attribute's value for an ACL text; nothing for an empty one.
///
/// Names without a number are refused: this machine's accounts are not those of the archive.
pub(super) fn parse(text: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let text = String::from_utf8_lossy(text);
    let mut entries = Vec::new();
    for line in text.split([',', '\n']) {
        let words = line.split('#').next().unwrap_or("").trim();
        if !words.is_empty() {
            entries.push(entry(words)?);
        }
    }
    if entries.is_empty() {
        return Ok(None);
    }
    entries.sort_by_key(|(tag, _, id)| (*tag, *id));
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    Ok(Some(value))
}

/// `tag:qualifier:permissions`, and after them the number of the qualifier in archives of star and bsdtar.
fn entry(words: &str) -> Result<(u16, u16, u32), String> {
    let wrong = || format!("the ACL entry {words:?} is malformed");
    let fields: Vec<&str> = words.split(':').map(str::trim).collect();
    // `mask::r-x` and `other::r--` are also written with one colon.
    let (tag, qualifier, permissions, number) = match fields[..] {
        [tag @ ("mask" | "m" | "other" | "o"), permissions] => (tag, "", permissions, None),
        [tag, qualifier, permissions] => (tag, qualifier, permissions, None),
        [tag, qualifier, permissions, number] => (tag, qualifier, permissions, Some(number)),
        _ => return Err(wrong()),
    };
    let tag = match (tag, qualifier.is_empty()) {
        ("user" | "u", true) => USER_OBJ,
        ("user" | "u", false) => USER,
        ("group" | "g", true) => GROUP_OBJ,
        ("group" | "g", false) => GROUP,
        ("mask" | "m", true) => MASK,
        ("other" | "o", true) => OTHER,
        _ => return Err(wrong()),
    };
    let id = match tag {
        USER | GROUP => number.unwrap_or(qualifier).parse().map_err(|_| {
            format!("the ACL entry {words:?} has a name without a number; pack with --xattrs too")
        })?,
        _ => NO_ID,
    };
    Ok((tag, bits(permissions).ok_or_else(wrong)?, id))
}

fn bits(permissions: &str) -> Option<u16> {
    permissions.chars().try_fold(0, |bits, c| match c {
        'r' => Some(bits | 4),
        'w' => Some(bits | 2),
        'x' => Some(bits | 1),
        '-' => Some(bits),
        _ => None,
    })
}

/// The text for an attribute's value, ids as numbers; nothing for a value that is none of the kernel's.
pub(super) fn written(value: &[u8]) -> Option<String> {
    let entries = value.strip_prefix(&VERSION.to_le_bytes())?;
    let (entries, []) = entries.as_chunks::<8>() else { return None };
    let words: Option<Vec<String>> = entries.iter().map(entry_written).collect();
    Some(words?.join(","))
}

fn entry_written(entry: &[u8; 8]) -> Option<String> {
    let [tag0, tag1, bits, _, id @ ..] = *entry;
    let id = u32::from_le_bytes(id);
    let flag = |bit: u8, letter: char| if bits & bit != 0 { letter } else { '-' };
    let permissions: String = [flag(4, 'r'), flag(2, 'w'), flag(1, 'x')].iter().collect();
    Some(match u16::from_le_bytes([tag0, tag1]) {
        USER_OBJ => format!("user::{permissions}"),
        USER => format!("user:{id}:{permissions}"),
        GROUP_OBJ => format!("group::{permissions}"),
        GROUP => format!("group:{id}:{permissions}"),
        MASK => format!("mask::{permissions}"),
        OTHER => format!("other::{permissions}"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_gives_the_kernels_bytes() {
        let want = [
            2u8, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0xe8, 3, 0, 0, 4, 0, 4, 0, 255, 255,
            255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
        ];
        for text in [
            "user::rw-,user:1000:r--,group::r--,mask::r--,other::---",
            "other::---,group::r--,mask::r--,user:lisa:r--:1000,user::rw-",
            "u::rw-\nu:1000:r--\t#effective:r--\ng::r--\nm:r--\no:---\n",
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().unwrap(), want, "{text}");
        }
        assert_eq!(parse(b""), Ok(None));
        let text = "user::rw-,user:1000:r--,group::r--,mask::r--,other::---";
        assert_eq!(written(&want).as_deref(), Some(text));
        assert_eq!(written(&want[1..]), None);
        assert_eq!(written(&want[..want.len() - 1]), None);
    }

    #[test]
    fn a_name_without_a_number_is_refused() {
        assert!(parse(b"user::rw-,user:lisa:r--").unwrap_err().contains("--xattrs"));
        for wrong in ["user", "user:1:rwz", "who::rwx", "mask:1:r--", "a:b:c:d:e"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
