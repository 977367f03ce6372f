//! Diagnostics for a terminal: message, place, the line with a caret, what to do.

use std::fmt::Write as _;

use super::{Code, Diagnostic, Diagnostics, Severity, Text};

/// Whether to write ANSI colours. They only repeat what the words say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Words only.
    Never,
    /// Words and colours.
    Always,
}

/// The widest excerpt of a line, in characters; longer lines are cut around the caret.
const WIDTH: usize = 110;
/// Characters kept before the caret of a cut line.
const LEAD: usize = 40;

impl Diagnostics {
    /// All diagnostics with a blank line between them, and a closing line that counts them; empty when there are none.
    pub fn render(&self, colour: Colour) -> String {
        let mut out = String::new();
        for diagnostic in self {
            one(&mut out, self.text(), diagnostic, colour);
            out.push('\n');
        }
        let counts: Vec<String> = [Severity::Error, Severity::Warning]
            .into_iter()
            .map(|severity| (severity, self.count(severity)))
            .filter(|(_, count)| *count > 0)
            .map(|(severity, count)| {
                format!(
                    "{count} {}{}",
                    severity.as_str(),
                    if count == 1 { "" } else { "s" }
                )
            })
            .collect();
        if !counts.is_empty() {
            // Writing to a `String` cannot fail, here and below.
            let _ = writeln!(out, "{}: {}", self.text().name(), counts.join(", "));
        }
        out
    }
}

fn one(out: &mut String, text: &Text, diagnostic: &Diagnostic, colour: Colour) {
    let Diagnostic {
        code,
        severity,
        message,
        span,
        label,
        help,
    } = diagnostic;
    let paint = |style: &str, words: &str| match colour {
        Colour::Never => words.to_owned(),
        Colour::Always => format!("\u{1b}[{style}m{words}\u{1b}[0m"),
    };
    let loud = match severity {
        Severity::Error => "1;31",
        Severity::Warning => "1;33",
    };
    let place = text.position(span.offset);
    let excerpt = Excerpt::of(text, diagnostic);
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let frame = |words: &str| paint("1;34", words);

    let head = format!("{}[{code}]", severity.as_str());
    let _ = writeln!(out, "{}: {}", paint(loud, &head), paint("1", &printable(message)));
    let _ = writeln!(
        out,
        "{margin}{} {}:{}:{}",
        frame("-->"),
        printable(text.name()),
        place.line,
        place.column
    );
    let _ = writeln!(out, "{margin} {}", frame("|"));
    let _ = writeln!(out, "{} {}", frame(&format!("{number} |")), excerpt.line);
    let caret = format!("{} {}", "^".repeat(excerpt.carets), printable(label));
    let _ = writeln!(
        out,
        "{margin} {} {}{}",
        frame("|"),
        " ".repeat(excerpt.before),
        paint(loud, caret.trim_end())
    );
    let _ = writeln!(out, "{margin} {}", frame("|"));
    let more = format!("`fedwing explain {}` says more", Code::as_str(*code));
    match help {
        Some(help) => {
            let _ = writeln!(
                out,
                "{}: {}\n      {more}",
                paint("1;36", "help"),
                help.replace('\n', "\n      ")
            );
        }
        None => {
            let _ = writeln!(out, "{}: {more}", paint("1;36", "help"));
        }
    }
}

/// The part of a line that is shown.
struct Excerpt {
    line: String,
    /// Characters before the first caret.
    before: usize,
    carets: usize,
}

impl Excerpt {
    fn of(text: &Text, diagnostic: &Diagnostic) -> Self {
        let place = text.position(diagnostic.span.offset);
        let line: Vec<char> = text.line(place.line).chars().map(shown).collect();
        let column = (place.column - 1).min(line.len());
        let marked = text
            .slice(diagnostic.span)
            .split(['\r', '\n'])
            .next()
            .unwrap_or_default();
        let carets = marked.chars().count().max(1);
        let cut = if line.len() > WIDTH {
            column.saturating_sub(LEAD)
        } else {
            0
        };
        let end = line.len().min(cut + WIDTH);
        let mut shown: String = line[cut..end].iter().collect();
        let mut before = column - cut;
        if cut > 0 {
            shown.insert(0, '…');
            before += 1;
        }
        if end < line.len() {
            shown.push('…');
        }
        Self {
            line: shown.trim_end().to_owned(),
            before,
            carets: carets.min((end - column.min(end)).max(1)),
        }
    }
}

/// A character as shown: one column wide, and never one that steers the terminal.
fn shown(character: char) -> char {
    match character {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// A text from the input as shown in a message.
fn printable(text: &str) -> String {
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Span;
    use proptest::prelude::*;

    fn report(text: &str, diagnostic: Diagnostic) -> Diagnostics {
        Diagnostics::new(Text::new("two-sites.yml", text), vec![diagnostic])
    }

    #[test]
    fn a_message_shows_place_line_caret_and_help() {
        let text = "a: 1\nmin_clients: 5\n";
        let diagnostic = Diagnostic::error(
            Code::OutOfRange,
            Span {
                offset: 18,
                length: 1,
            },
            "a round needs 5 clients but only 4 are declared",
        )
        .label("must be between 1 and 4")
        .help("lower `min_clients` to 4, or declare another client");
        insta::assert_snapshot!(report(text, diagnostic).render(Colour::Never), @r"
        error[FL0206]: a round needs 5 clients but only 4 are declared
         --> two-sites.yml:2:14
          |
        2 | min_clients: 5
          |              ^ must be between 1 and 4
          |
        help: lower `min_clients` to 4, or declare another client
              `fedwing explain FL0206` says more

        two-sites.yml: 1 error
        ");
    }

    #[test]
    fn colours_add_nothing_but_colour() {
        let diagnostic = Diagnostic::warning(Code::UnknownKey, Span { offset: 0, length: 1 }, "what");
        let report = report("a: 1", diagnostic);
        let mut plain = report.render(Colour::Always);
        while let Some(start) = plain.find('\u{1b}') {
            let end = start + plain[start..].find('m').unwrap();
            plain.replace_range(start..=end, "");
        }
        assert_eq!(plain, report.render(Colour::Never));
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret_and_escapes_do_not_reach_the_terminal() {
        let text = format!("{}\u{1b}[2JX{}", "a".repeat(500), "b".repeat(500));
        let span = Span {
            offset: text.find('X').unwrap(),
            length: 1,
        };
        let shown = report(&text, Diagnostic::error(Code::OutOfRange, span, "m")).render(Colour::Never);
        assert!(!shown.contains('\u{1b}'));
        let lines: Vec<Vec<char>> = shown.lines().map(|line| line.chars().collect()).collect();
        assert!(lines.iter().all(|line| line.len() < 130), "{shown}");
        let caret = lines[4].iter().position(|c| *c == '^').unwrap();
        assert_eq!(lines[3][caret], 'X', "{shown}");
    }

    proptest! {
        #[test]
        fn any_place_of_any_text_can_be_shown(text in "(?s).{0,400}", offset in 0usize..500, length in 0usize..500) {
            let diagnostic = Diagnostic::error(Code::OutOfRange, Span { offset, length }, "m");
            prop_assert!(report(&text, diagnostic).render(Colour::Never).contains('^'));
        }
    }
}
