//! Reads the files of `src` for the rules, without test code, comments and string literals.

use std::collections::BTreeSet;
use std::path::Path;

/// A file of the product.
pub struct SourceFile {
    /// Below `src`, such as `broker/link.rs`.
    pub path: String,
    /// Its lines, comments included, without test code.
    pub product_lines: usize,
    code: String,
}

/// All files of the product; files that hold only tests are left out.
pub fn source_files() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if name == "tests" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                files.push(SourceFile::read(path, &text));
            }
        }
    }
    assert!(files.len() > 100, "only {} files were found", files.len());
    files
}

impl SourceFile {
    pub fn read(path: String, text: &str) -> Self {
        let code = without_tests(&blank(text));
        let product_lines = code.lines().filter(|line| *line != REMOVED).count();
        Self { path, product_lines, code }
    }

    /// The code without tests, comments and string literals.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The folder, or the file at the top, that this file belongs to.
    pub fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The rooms whose items this file names by a path from the root of the crate.
    pub fn rooms(&self) -> BTreeSet<String> {
        let mut rooms = BTreeSet::new();
        // A module `a::b` is two steps below the root, so its `super::super::c` is `crate::c`.
        let from_root = "super::".repeat(self.path.split('/').count());
        for root in ["crate::", "nidbridge::", from_root.as_str()] {
            for (at, _) in self.code.match_indices(root) {
                let before = self.code[..at].chars().next_back();
                if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':') {
                    rooms.extend(first_names(&self.code[at + root.len()..]));
                }
            }
        }
        // What `lib.rs` itself offers is no room.
        rooms.retain(|name| name.starts_with(char::is_lowercase) && name != "self" && name != "super");
        rooms
    }
}

/// The first names of a path or of a group of paths: `a` of `a::b`, and `a`, `c` of `{a::b, c::{d,
/// e}}`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut names = Vec::new();
    let (mut depth, mut begin) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' if depth == 0 => {
                names.push(name(group[begin..at].trim_start()));
                begin = at + 1;
            }
            '}' if depth == 0 => {
                names.push(name(group[begin..at].trim_start()));
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Stands for a line of test code.
const REMOVED: &str = "\u{0}";

/// Removes every item under `#[cfg(test)]`, line by line.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        kept.push_str(REMOVED);
        kept.push('\n');
        let mut depth = 0_i32;
        for line in lines.by_ref() {
            kept.push_str(REMOVED);
            kept.push('\n');
            depth += line.chars().map(|c| i32::from(c == '{') - i32::from(c == '}')).sum::<i32>();
            if depth == 0 && (line.trim_end().ends_with(['}', ';'])) {
                break;
            }
        }
    }
    kept
}

/// Replaces comments, text and characters by spaces, and keeps the lines.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => skip(&chars, at, |rest| rest.first() == Some(&'\n')),
            ('/', Some('*')) => skip(&chars, at + 2, |rest| rest.starts_with(&['*', '/'])) + 2,
            ('r', Some('"' | '#')) if at == 0 || !is_name(chars[at - 1]) => raw(&chars, at),
            ('"', _) => quoted(&chars, at),
            ('\'', _) => character(&chars, at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            let end = end.min(chars.len());
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn skip(chars: &[char], from: usize, ends: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len()).find(|at| ends(&chars[*at..])).unwrap_or(chars.len())
}

fn quoted(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// `r"…"` and `r#"…"#`; a raw name such as `r#type` is left as it is.
fn raw(chars: &[char], from: usize) -> usize {
    let hashes = chars[from + 1..].iter().take_while(|c| **c == '#').count();
    let open = from + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return from;
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    skip(chars, open + 1, |rest| rest.starts_with(&close)) + close.len()
}

/// `'a'` and `'\n'`; a lifetime is left as it is.
fn character(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), _) => skip(chars, from + 3, |rest| rest.first() == Some(&'\'')) + 1,
        (Some(_), Some('\'')) => from + 3,
        _ => from,
    }
}

#[test]
fn imports_are_found_in_groups_and_inline_and_not_in_tests_or_text() {
    let text = r#"
//! [`crate::comment`]
use crate::{alpha, beta::{One, Two}, gamma::Three};
use crate::delta::Four;
use super::super::epsilon::Five;
use super::near;
const TEXT: &str = "crate::text"; const RAW: &str = r"crate::raw";
fn inline(c: char) -> bool { c == '"' && crate::zeta::six() && 'a' == c }
#[cfg(test)]
mod tests {
    use crate::eta::Seven;
}
"#;
    let file = SourceFile::read("room/file.rs".to_owned(), text);
    let rooms: Vec<String> = file.rooms().into_iter().collect();
    assert_eq!(rooms, ["alpha", "beta", "delta", "epsilon", "gamma", "zeta"]);
    assert_eq!((file.room(), file.product_lines), ("room", 8));
}
