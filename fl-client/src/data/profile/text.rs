//! A profile for people.
//!
//! In: a [`Profile`]. Out: text of short lines. Start at [`print`].

use std::{collections::BTreeMap, fmt::Write};

use contract::profile::{ColumnProfile, Profile, TableProfile, Unusable};

/// The most lines of a list that are shown; the JSON has all.
const SHOWN: usize = 12;

/// The profile as text.
pub fn print(profile: &Profile) -> String {
    let Profile {
        fedwing_profile: _,
        root,
        files,
        images,
        frames,
        patients,
        series,
        formats,
        modalities,
        sizes,
        bits,
        colours,
        folders,
        institutions,
        attributes,
        tables,
        unusable,
        others,
        burned_in,
        same_bytes,
    } = profile;
    let mut out = Text::default();
    out.line(&format!("{root}: {files} files, by their headers alone"));
    out.line("");
    out.fact("images", &images.to_string());
    if frames != images {
        out.fact("frames", &frames.to_string());
    }
    out.fact("patients", &said(*patients));
    out.fact("series", &said(*series));
    out.fact("unusable", &unusable.len().to_string());
    out.fact("burned-in text", &burned_in.to_string());
    out.fact("same bytes", &format!("{same_bytes} groups"));
    out.counts("format", formats);
    out.counts("modality", modalities);
    out.counts("size", sizes);
    out.counts("bits", bits);
    out.counts("colour", colours);
    out.counts("folder", folders);
    out.counts("institution", institutions);
    for (attribute, values) in attributes {
        out.counts(&attribute.replace('_', " "), values);
    }
    out.counts("other files", others);
    for table in tables {
        out.table(table);
    }
    out.unusable(unusable);
    out.0
}

fn said(count: Option<u64>) -> String {
    count.map_or("images do not say".to_owned(), |count| count.to_string())
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        // Control characters of names and values must not reach a terminal.
        let plain = line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
        self.0.extend(plain);
        while self.0.ends_with(' ') {
            self.0.pop();
        }
        self.0.push('\n');
    }

    fn fact(&mut self, name: &str, value: &str) {
        self.line(&format!("{name:<16}{value}"));
    }

    /// Values with their counts, the most frequent first.
    fn counts(&mut self, name: &str, counts: &BTreeMap<impl ToString + Ord, u64>) {
        if counts.is_empty() {
            return;
        }
        let mut sorted: Vec<_> = counts.iter().collect();
        sorted.sort_by_key(|(value, count)| (std::cmp::Reverse(**count), *value));
        self.line("");
        for (index, (value, count)) in sorted.iter().take(SHOWN).enumerate() {
            let name = if index == 0 { name } else { "" };
            self.line(&format!("{name:<16}{count:>8}  {}", value.to_string()));
        }
        self.more(sorted.len());
    }

    fn more(&mut self, all: usize) {
        if all > SHOWN {
            self.line(&format!("{:<16}{:>8}  and {} more", "", "", all - SHOWN));
        }
    }

    fn table(&mut self, table: &TableProfile) {
        let TableProfile { file, rows, columns } = table;
        self.line("");
        self.line(&format!("table {file}: {rows} rows"));
        for column in columns {
            let ColumnProfile {
                name,
                distinct,
                values,
                images,
            } = column;
            let mut line = format!("  {name}: {distinct} distinct");
            if *images > 0 {
                // Writing to a string does not fail.
                let _ = write!(line, ", {images} name images");
            }
            let mut sorted: Vec<_> = values.iter().collect();
            sorted.sort_by_key(|(value, count)| (std::cmp::Reverse(**count), *value));
            for (index, (value, count)) in sorted.iter().take(SHOWN).enumerate() {
                let value = if value.is_empty() {
                    "(empty)"
                } else {
                    value.as_str()
                };
                let before = if index == 0 { ": " } else { ", " };
                let _ = write!(line, "{before}{value} {count}");
            }
            if sorted.len() > SHOWN {
                let _ = write!(line, " and {} more", sorted.len() - SHOWN);
            }
            self.line(&line);
        }
    }

    fn unusable(&mut self, unusable: &[Unusable]) {
        if unusable.is_empty() {
            return;
        }
        self.line("");
        self.line("cannot be used:");
        for Unusable { file, reason } in unusable.iter().take(SHOWN) {
            self.line(&format!("  {file}: {reason}"));
        }
        if unusable.len() > SHOWN {
            self.line(&format!("  and {} more", unusable.len() - SHOWN));
        }
    }
}
