//! Holds the staircase of `src/lib.rs`: a room imports only from rooms to its left.

/// Rooms of one line stand on one step and do not know each other.
const STAIRCASE: &[&[&str]] = &[
    &["sys", "answer", "order"],
    &["verify", "volumes", "privileges", "secrets"],
    &["early", "drivers", "net", "fetch", "archive", "handover"],
    &["cmdline", "catalog", "machine"],
    &["plan"],
    &["load"],
    &["tui"],
    &["commands"],
    &["cli"],
    &["main", "lib"],
];

fn step(room: &str) -> usize {
    STAIRCASE.iter().position(|rooms| rooms.contains(&room)).unwrap_or_else(|| panic!("unknown room {room}"))
}

/// Rooms named by `crate::room` or `bootjack::room` in a source text, comments left out.
fn imports(text: &str) -> Vec<String> {
    let code = text.lines().map(|l| l.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
    let mut rooms = Vec::new();
    for prefix in ["crate::", "bootjack::"] {
        for (at, _) in code.match_indices(prefix) {
            let rest = &code[at + prefix.len()..];
            match rest.strip_prefix('{') {
                // `use crate::{a::B, c}`: the first word after the brace and after each comma at depth one.
                Some(list) => {
                    let mut depth = 1;
                    let mut word = String::new();
                    let mut first = true;
                    for c in list.chars() {
                        match c {
                            '{' => depth += 1,
                            '}' => depth -= 1,
                            _ => {}
                        }
                        if depth == 0 || (depth == 1 && c == ',') {
                            rooms.push(std::mem::take(&mut word));
                            first = true;
                            if depth == 0 {
                                break;
                            }
                        } else if c == ':' {
                            first = false;
                        } else if first && (c.is_alphanumeric() || c == '_') {
                            word.push(c);
                        }
                    }
                }
                None => rooms.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()),
            }
        }
    }
    rooms.retain(|r| r.starts_with(|c: char| c.is_lowercase()));
    rooms
}

fn sources(dir: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn a_room_imports_only_from_rooms_to_its_left() {
    let src = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&src).expect("below src");
        let first = inside.components().next().expect("a file has a name").as_os_str().to_string_lossy();
        let room = first.trim_end_matches(".rs");
        for import in imports(&std::fs::read_to_string(&file).expect("readable")) {
            let upward = step(&import) > step(room);
            let neighbour = step(&import) == step(room) && import != room;
            if upward || neighbour {
                wrong.push(format!("{}: imports {import}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the staircase:\n{}", wrong.join("\n"));
}

#[test]
fn an_upward_import_would_be_seen() {
    assert_eq!(imports("use crate::tui::menu;"), ["tui"]);
    assert_eq!(imports("use crate::{fetch::{A, b}, tui, verify::V};"), ["fetch", "tui", "verify"]);
    assert_eq!(imports("let x = crate::load::y(); // crate::tui"), ["load"]);
}
