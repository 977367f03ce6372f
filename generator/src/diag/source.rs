//! A text, and places in it.

/// A place in a text: bytes from its start. It may be empty, for a place between characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub offset: usize,
    /// Number of bytes.
    pub length: usize,
}

/// Line and column, both counted from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineColumn {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// A named text with an index of its lines.
#[derive(Debug, Clone)]
pub struct Text {
    name: String,
    text: String,
    /// Where each line starts; the first is 0.
    starts: Vec<usize>,
}

impl Text {
    /// Indexes `text`; `name` is how its file is called in messages.
    pub fn new(name: &str, text: &str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(after_newlines).collect();
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            starts,
        }
    }

    /// How the file is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The line and column of a byte; past the end, or inside a character, the nearest place before.
    pub fn position(&self, offset: usize) -> LineColumn {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.starts.partition_point(|start| *start <= offset);
        let column = self.text[self.starts[line - 1]..offset].chars().count() + 1;
        LineColumn { line, column }
    }

    /// A line by its number from 1, without its end; empty past the last.
    pub fn line(&self, number: usize) -> &str {
        let Some(start) = self.starts.get(number.saturating_sub(1)) else {
            return "";
        };
        let line = self.text[*start..].split('\n').next().unwrap_or_default();
        line.strip_suffix('\r').unwrap_or(line)
    }

    /// The text of a place, cut to what there is.
    pub fn slice(&self, span: Span) -> &str {
        let start = self.text.floor_char_boundary(span.offset);
        let end = self
            .text
            .floor_char_boundary(span.offset.saturating_add(span.length));
        &self.text[start..end.max(start)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_count_characters_and_lines_lose_their_ends() {
        let text = Text::new("a", "é: ü\r\nb: c");
        let at = text.text.find('ü').unwrap();
        assert_eq!(text.position(at), LineColumn { line: 1, column: 4 });
        assert_eq!(
            text.position(at + 1),
            LineColumn { line: 1, column: 4 },
            "inside a character"
        );
        assert_eq!(text.line(1), "é: ü");
        assert_eq!(text.line(2), "b: c");
        assert_eq!(text.line(3), "");
    }

    proptest! {
        #[test]
        fn every_place_has_a_line(text in "(?s).{0,60}", offset in 0usize..200, length in 0usize..200) {
            let text = Text::new("a", &text);
            let position = text.position(offset);
            prop_assert!(position.line >= 1 && position.line <= text.starts.len());
            let slice = text.slice(Span { offset, length });
            prop_assert!(slice.len() <= length + 3, "at most the rest of a character more");
        }
    }
}
