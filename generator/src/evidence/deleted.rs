//! Reads what a workflow of DAGMan wrote down of files before it deleted them: sizes by `stat`, digests by `sha256sum`.
//!
//! In: a list's text. Out: what is known of each file whose size and digest are both there. A line that was cut off when
//! the script was killed is passed over: the script wrote it again. Start at [`parse`]. Pure.

use std::collections::HashMap;

use contract::units::Bytes;

use crate::record::FileFact;

/// The largest such file read: a million files with 200 bytes each for size and digest.
pub const MAX_BYTES: u64 = 1 << 29;

/// Reads the list's text.
pub fn parse(text: &str) -> Vec<FileFact> {
    let mut sizes = HashMap::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["size", size, path] => {
                if let Ok(size) = size.parse() {
                    sizes.insert(name(path), Bytes(size));
                }
            }
            [sha256, path] if is_digest(sha256) => {
                if let Some(size) = sizes.remove(name(path)) {
                    found.push(FileFact {
                        name: name(path).to_owned(),
                        size,
                        sha256: sha256.to_owned(),
                    });
                }
            }
            _ => {}
        }
    }
    found
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn is_digest(word: &str) -> bool {
    word.len() == 64 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_once_size_and_digest_are() {
        let (first, second) = ("0".repeat(64), "f".repeat(64));
        let cut_off = &second[..40];
        let text = format!(
            "\nsize 7 files/a.update\nsize 9 files/b.update\n{first}  files/a.update\n{cut_off}\n\
             size 9 files/b.update\n{second}  files/b.update\n{first}  files/c.update\n"
        );
        let fact = |name: &str, size, sha256: &str| FileFact {
            name: name.to_owned(),
            size: Bytes(size),
            sha256: sha256.to_owned(),
        };
        assert_eq!(
            parse(&text),
            [fact("a.update", 7, &first), fact("b.update", 9, &second)]
        );
    }
}
