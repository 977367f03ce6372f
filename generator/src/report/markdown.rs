//! The report as Markdown tables: the content of the page without its figures, for pull requests and terminals.

use std::fmt::Write;

use super::{
    findings::{
        ABSENT_HEADS, CrossCell, DIVERGENCES, NOTHING, ROUND_HEADS, STAGE_HEADS, absent_rows, alerts,
        cross_matrix, group_rows, privacy_words, round_cells, run_facts, sample_privacy_words, size_words,
        stage_cells, state_words, synthetic_words, transfer_words,
    },
    model::{DatasetReport, DatasetSummary, Report},
    numbers::{count, counted, metric, metric_or_undefined, thinned},
    scores::{
        CLASS_HEADS, FURTHER, FURTHER_WORDS, MEASURES, Measure, PERSONAL_WORDS, class_cells, confusion,
        heads, interval_words, model_rows, personal_rows,
    },
};

/// Rounds, clients or failures listed; the JSON report has all.
const MOST_ROWS: usize = 20;

/// The report as Markdown.
pub fn markdown(report: &Report) -> String {
    let mut page = Page::default();
    let synthetic = if report.synthetic { " (SYNTHETIC data)" } else { "" };
    page.line(&format!(
        "# {}{synthetic}: {}",
        plain(&report.experiment),
        report.state.as_str()
    ));
    if report.synthetic {
        page.paragraph(&format!("**SYNTHETIC**: {}", plain(&synthetic_words(report))));
    }
    if let Some(words) = state_words(report) {
        page.paragraph(&format!(
            "**{}**: {}",
            report.state.as_str().to_uppercase(),
            plain(&words)
        ));
    }
    if let Some(intent) = &report.intent {
        page.paragraph(&plain(intent));
    }
    let facts: Vec<_> = run_facts(report)
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect();
    page.table(&["Run", ""], &facts);
    failures(report, &mut page);
    for dataset in &report.datasets {
        one_dataset(dataset, &mut page);
    }
    cross(report, &mut page);
    page.line("## Time and bytes by kind of job");
    let mut rows: Vec<_> = report
        .stages
        .iter()
        .map(|stage| stage_cells(&stage.kind, &stage.used))
        .collect();
    rows.push(stage_cells("together", &report.totals));
    page.table(&STAGE_HEADS, &rows);
    specification(report, &mut page);
    page.finish()
}

fn failures(report: &Report, page: &mut Page) {
    if report.failed_jobs.is_empty() {
        return;
    }
    page.line("## Failed jobs");
    let rows: Vec<_> = report
        .failed_jobs
        .iter()
        .take(MOST_ROWS)
        .map(|failed| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let attempts = count(failed.attempts.into());
            let (message, file, help) = (text(&failed.message), text(&failed.file), text(&failed.help));
            vec![
                failed.job.clone(),
                attempts,
                failed.ended.clone(),
                message,
                file,
                help,
            ]
        })
        .collect();
    page.table(&["Job", "Attempts", "Ended", "Message", "File", "Help"], &rows);
    page.cut(rows.len(), report.failed_jobs.len());
}

fn one_dataset(dataset: &DatasetReport, page: &mut Page) {
    let synthetic = if dataset.synthetic { " (SYNTHETIC)" } else { "" };
    page.line(&format!("## Dataset {}{synthetic}", plain(&dataset.name)));
    for (word, words) in alerts(dataset) {
        page.paragraph(&format!("**{word}**: {}", plain(&words)));
    }
    let rows = model_rows(dataset, &MEASURES, MOST_ROWS);
    if rows.is_empty() {
        page.paragraph("No model has been evaluated yet.");
    } else {
        measured(&MEASURES, rows, page);
        measured(&FURTHER, model_rows(dataset, &FURTHER, MOST_ROWS), page);
        page.paragraph(&plain(FURTHER_WORDS));
    }
    if let Some(words) = dataset
        .last
        .as_ref()
        .and_then(|last| interval_words(&last.metrics))
    {
        page.paragraph(&plain(&words));
    }
    if !dataset.personal.is_empty() {
        page.line("### Clients' own models");
        measured(&MEASURES, personal_rows(dataset, MOST_ROWS), page);
        page.cut(dataset.personal.len().min(MOST_ROWS), dataset.personal.len());
        page.paragraph(&plain(PERSONAL_WORDS));
    }
    rounds(dataset, page);
    if let Some(last) = &dataset.last {
        page.line("### By class, federated");
        let cells = last.metrics.per_class.iter().map(|class| {
            std::iter::once(class.label.clone())
                .chain(class_cells(class))
                .collect()
        });
        let rows: Vec<Vec<String>> = cells.collect();
        let mut head = vec!["Class"];
        head.extend(CLASS_HEADS);
        page.table(&head, &rows);
        if let Some((head, rows)) = confusion(&last.metrics) {
            page.line("### Confusion matrix, federated");
            let head: Vec<&str> = head.iter().map(String::as_str).collect();
            page.table(&head, &rows);
        }
    }
    if let Some(stats) = &dataset.stats {
        distribution(dataset, stats, page);
    }
}

/// A table of models by measures.
fn measured(measures: &[Measure], models: Vec<(String, &'static str, Vec<String>)>, page: &mut Page) {
    let rows: Vec<_> = models
        .into_iter()
        .map(|(name, _, values)| std::iter::once(name).chain(values).collect::<Vec<_>>())
        .collect();
    page.table(&heads("Model", measures), &rows);
}

fn rounds(dataset: &DatasetReport, page: &mut Page) {
    if dataset.rounds.is_empty() {
        return;
    }
    page.line("### By round");
    let shown = thinned(dataset.rounds.len(), MOST_ROWS);
    let rows: Vec<_> = shown.iter().map(|i| round_cells(&dataset.rounds[*i])).collect();
    page.table(&ROUND_HEADS, &rows);
    page.cut(rows.len(), dataset.rounds.len());
    for words in [
        transfer_words(dataset),
        privacy_words(dataset),
        sample_privacy_words(dataset),
    ]
    .into_iter()
    .flatten()
    {
        page.paragraph(&plain(&words));
    }
    let mut absent = absent_rows(dataset);
    if absent.is_empty() {
        return;
    }
    page.line("### Absent clients");
    let all = absent.len();
    absent.truncate(MOST_ROWS);
    page.table(&ABSENT_HEADS, &absent);
    page.cut(absent.len(), all);
}

fn distribution(dataset: &DatasetReport, stats: &DatasetSummary, page: &mut Page) {
    page.line("### Who has which samples");
    let mut head = vec!["Group", "Samples", "Patients"];
    head.extend(dataset.classes.iter().map(String::as_str));
    head.extend(["KL (nats)", "JS (nats)", "Hellinger", "EMD"]);
    page.table(&head, &group_rows(stats, MOST_ROWS));
    page.cut(stats.clients.len().min(MOST_ROWS), stats.clients.len());
    page.paragraph(&plain(&size_words(stats)));
    page.paragraph(&plain(DIVERGENCES));
    if !stats.left_out.is_empty() {
        let reasons: Vec<_> = stats
            .left_out
            .iter()
            .map(|(why, n)| format!("{}: {}", plain(why), count(*n)))
            .collect();
        page.paragraph(&format!("Left out of the source: {}.", reasons.join("; ")));
    }
}

fn cross(report: &Report, page: &mut Page) {
    let Some(matrix) = cross_matrix(report) else {
        return;
    };
    page.line("## Across datasets: AUROC (accuracy)");
    let mut head = vec!["Trained on"];
    head.extend(matrix.columns.iter().copied());
    let rows: Vec<_> = matrix
        .rows
        .iter()
        .map(|(name, cells)| {
            let cell = |cell: &CrossCell<'_>| {
                let synthetic = if cell.synthetic { " SYNTHETIC" } else { "" };
                format!(
                    "{} ({}){synthetic}",
                    metric_or_undefined(cell.scores.auroc),
                    metric(cell.scores.accuracy)
                )
            };
            let cells = cells
                .iter()
                .map(|found| found.as_ref().map_or(NOTHING.to_owned(), cell));
            std::iter::once((*name).to_owned())
                .chain(cells)
                .collect::<Vec<_>>()
        })
        .collect();
    page.table(&head, &rows);
}

fn specification(report: &Report, page: &mut Page) {
    page.line("## Specification");
    page.paragraph(&format!("SHA-256 `{}`", plain(&report.spec_digest)));
    let Some(spec) = &report.spec else {
        page.paragraph("The run's folder holds no copy of it.");
        return;
    };
    // A fence longer than any run of backticks inside.
    let longest = spec.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    page.line(&format!("{fence}yaml\n{}\n{fence}", spec.trim_end()));
}

/// Markdown under construction; parts are set apart by empty lines.
#[derive(Default)]
pub(crate) struct Page(String);

impl Page {
    /// What was written.
    pub fn finish(self) -> String {
        self.0
    }

    /// A line of its own.
    pub fn line(&mut self, text: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// A paragraph.
    pub fn paragraph(&mut self, text: &str) {
        self.line(text);
    }

    /// An item of a list, which follows a paragraph or another item.
    pub fn item(&mut self, text: &str) {
        self.0.push_str("- ");
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// A table whose first column holds words and whose others hold numbers; cells are escaped here.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.rows(head, rows, 1);
    }

    /// A table of words; cells are escaped here.
    pub fn words(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.rows(head, rows, head.len());
    }

    /// A table whose first `words` columns hold words and whose others hold numbers; cells are escaped here.
    pub fn rows(&mut self, head: &[&str], rows: &[Vec<String>], words: usize) {
        let head: Vec<_> = head.iter().map(|cell| plain(cell)).collect();
        let rule: Vec<_> = (0..head.len())
            .map(|i| if i < words { "---" } else { "---:" })
            .collect();
        let mut text = format!("| {} |\n| {} |", head.join(" | "), rule.join(" | "));
        for row in rows {
            let cells: Vec<_> = row.iter().map(|cell| plain(cell)).collect();
            write!(text, "\n| {} |", cells.join(" | ")).expect("writing to a String cannot fail");
        }
        self.line(&text);
    }

    /// Says that a table shows fewer than there are.
    pub fn cut(&mut self, shown: usize, all: usize) {
        if shown < all {
            let all = counted(all as u64, "row", "rows");
            self.paragraph(&format!("{shown} of {all}; the JSON report has all."));
        }
    }
}

/// A text on one line in which nothing means anything to Markdown or HTML.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.trim_end().chars() {
        match character {
            '\\' | '`' | '*' | '|' | '[' | ']' | '#' | '~' => out.extend(['\\', character]),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            _ if character.is_whitespace() && character != '\u{202f}' => out.push(' '),
            _ if character.is_control() => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cell_stays_a_cell() {
        assert_eq!(plain("a|b\nc <img> `x`\n"), "a\\|b c &lt;img&gt; \\`x\\`");
    }

    proptest! {
        #[test]
        fn no_text_breaks_a_line_or_opens_a_tag(text in "\\PC*\\s\\PC*") {
            let out = plain(&text);
            prop_assert!(!out.contains(['\n', '\r', '<', '>']));
            let mut quoted = false;
            for character in out.chars() {
                prop_assert!(character != '|' || quoted);
                quoted = character == '\\' && !quoted;
            }
        }
    }
}
