//! HTML tables: first words, then numbers.

use super::markup::Markup;

/// A table in a frame that scrolls when the page is narrow; `words` columns hold words, the others numbers.
pub(super) fn table(parent: &mut Markup, head: &[&str], words: usize, body: impl FnOnce(&mut Markup)) {
    parent.element("div", &[("class", &"scroll")], |frame| {
        frame.element("table", &[], |table| {
            table.element("thead", &[], |thead| {
                thead.element("tr", &[], |row| {
                    for (i, name) in head.iter().enumerate() {
                        row.leaf("th", &[("scope", &"col"), ("class", &kind(i, words))], name);
                    }
                });
            });
            table.element("tbody", &[], body);
        });
    });
}

/// A row of such a table; its first cell names it.
pub(super) fn row(rows: &mut Markup, class: &str, words: usize, cells: &[String]) {
    rows.element("tr", &[("class", &class)], |row| {
        for (i, cell) in cells.iter().enumerate() {
            if i == 0 {
                row.leaf("th", &[("scope", &"row")], cell);
            } else {
                row.leaf("td", &[("class", &kind(i, words))], cell);
            }
        }
    });
}

fn kind(column: usize, words: usize) -> &'static str {
    if column < words { "word" } else { "num" }
}
