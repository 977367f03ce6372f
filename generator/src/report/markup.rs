//! Writes HTML and SVG: every text and every attribute value is escaped, every element closed.

use std::fmt::{Display, Write};

/// An attribute: its name is ours, its value anyone's.
pub(crate) type Attribute<'a> = (&'static str, &'a dyn Display);

/// Markup under construction.
#[derive(Default)]
pub(crate) struct Markup(String);

impl Markup {
    /// An element around whatever `inside` writes.
    pub fn element(
        &mut self,
        tag: &'static str,
        attributes: &[Attribute<'_>],
        inside: impl FnOnce(&mut Self),
    ) {
        self.start(tag, attributes);
        self.0.push('>');
        inside(self);
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push('>');
        if breaks_line(tag) {
            self.0.push('\n');
        }
    }

    /// An element around a text.
    pub fn leaf(&mut self, tag: &'static str, attributes: &[Attribute<'_>], text: impl Display) {
        self.element(tag, attributes, |markup| markup.text(text));
    }

    /// An element without content, closed in itself: SVG shapes, `br`, `meta`.
    pub fn void(&mut self, tag: &'static str, attributes: &[Attribute<'_>]) {
        self.start(tag, attributes);
        self.0.push_str("/>");
    }

    /// A text.
    pub fn text(&mut self, text: impl Display) {
        write!(Escaping(&mut self.0), "{text}").expect("writing to a String cannot fail");
    }

    /// Markup of our own, from a constant.
    pub fn constant(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    /// What was written.
    pub fn finish(self) -> String {
        self.0
    }

    fn start(&mut self, tag: &'static str, attributes: &[Attribute<'_>]) {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.text(value);
            self.0.push('"');
        }
    }
}

/// Elements after which a line ends, so that the page's source can be read and compared.
fn breaks_line(tag: &str) -> bool {
    matches!(
        tag,
        "article"
            | "dd"
            | "details"
            | "div"
            | "dl"
            | "figcaption"
            | "figure"
            | "footer"
            | "g"
            | "h1"
            | "h2"
            | "h3"
            | "head"
            | "header"
            | "li"
            | "p"
            | "pre"
            | "section"
            | "style"
            | "svg"
            | "table"
            | "title"
            | "tr"
            | "ul"
    )
}

/// Replaces what has a meaning in markup; control characters, which have none and no place, become U+FFFD.
struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(character),
                _ if character.is_control() => self.0.push('\u{fffd}'),
                _ => self.0.push(character),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_and_attributes_are_escaped() {
        let mut markup = Markup::default();
        markup.element("b", &[("title", &"\"><script>")], |markup| {
            markup.text("a & <i>'\u{1b}")
        });
        assert_eq!(
            markup.finish(),
            "<b title=\"&quot;&gt;&lt;script&gt;\">a &amp; &lt;i&gt;&#39;\u{fffd}</b>"
        );
    }

    proptest! {
        #[test]
        fn no_text_opens_or_closes_anything(text in "\\PC*") {
            let mut markup = Markup::default();
            markup.text(&text);
            let out = markup.finish();
            prop_assert!(!out.contains(['<', '>', '"', '\'']));
        }
    }
}
