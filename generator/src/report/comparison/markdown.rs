//! The comparison as Markdown tables: the content of the page without its figures.

use super::{
    Comparison,
    rows::{
        BEST_WORDS, SEED_WORDS, SYNTHETIC_WORDS, USE_HEADS, USE_WORDS, axis_rows, datasets, facts,
        is_synthetic, result_cells, result_heads, seed_cells, seed_heads, short, state_words, troubles,
        use_cells,
    },
};
use crate::report::markdown::{Page, plain};

/// The comparison as Markdown.
pub fn comparison_markdown(comparison: &Comparison) -> String {
    let mut page = Page::default();
    let synthetic = if comparison.synthetic {
        " (SYNTHETIC data)"
    } else {
        ""
    };
    page.line(&format!(
        "# {}{synthetic}: {} points, {}",
        plain(&comparison.experiment),
        comparison.points.len(),
        comparison.state.as_str()
    ));
    if comparison.synthetic {
        page.paragraph(&format!("**SYNTHETIC**: {SYNTHETIC_WORDS}"));
    }
    if let Some(words) = state_words(comparison) {
        page.paragraph(&format!(
            "**{}**: {}",
            comparison.state.as_str().to_uppercase(),
            plain(&words)
        ));
    }
    if let Some(intent) = &comparison.intent {
        page.paragraph(&plain(intent));
    }
    let facts = facts(comparison).into_iter();
    let facts: Vec<_> = facts.map(|(name, value)| vec![name.to_owned(), value]).collect();
    page.table(&["Sweep", ""], &facts);
    page.table(&["Place", "Values"], &axis_rows(comparison));
    let troubles: Vec<_> = troubles(comparison)
        .into_iter()
        .map(|(point, words)| vec![point.name.clone(), point.state.as_str().to_owned(), words])
        .collect();
    if !troubles.is_empty() {
        page.line("## Points that are not done");
        page.table(&["Point", "State", "Why"], &troubles);
    }
    for dataset in datasets(comparison) {
        one_dataset(comparison, dataset, &mut page);
    }
    page.line("## Jobs and time by point");
    let rows: Vec<_> = comparison
        .points
        .iter()
        .map(|point| use_cells(comparison, point))
        .collect();
    page.table(&USE_HEADS, &rows);
    page.paragraph(&plain(USE_WORDS));
    reports(comparison, &mut page);
    page.paragraph(&format!(
        "Specification: SHA-256 `{}`",
        plain(&comparison.spec_digest)
    ));
    page.finish()
}

fn one_dataset(comparison: &Comparison, dataset: &str, page: &mut Page) {
    let synthetic = if is_synthetic(comparison, dataset) {
        " (SYNTHETIC)"
    } else {
        ""
    };
    page.line(&format!("## Dataset {}{synthetic}", plain(dataset)));
    let table = |heads: Vec<String>, rows: Vec<Vec<String>>, page: &mut Page| {
        let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
        page.table(&heads, &rows);
    };
    let points = comparison.points.iter();
    let rows = points
        .map(|point| result_cells(comparison, point, dataset))
        .collect();
    table(result_heads(comparison), rows, page);
    page.paragraph(&plain(BEST_WORDS));
    if comparison.over_seeds.is_empty() {
        return;
    }
    page.line("### Over seeds");
    let groups = comparison.over_seeds.iter();
    let rows = groups
        .map(|group| seed_cells(comparison, group, dataset))
        .collect();
    table(seed_heads(comparison), rows, page);
    page.paragraph(&plain(SEED_WORDS));
}

/// Where each point's own report is.
fn reports(comparison: &Comparison, page: &mut Page) {
    let links: Vec<String> = comparison
        .points
        .iter()
        .filter_map(|point| {
            let report = point.report.as_ref()?;
            Some(format!("[{}]({report})", plain(short(comparison, point))))
        })
        .collect();
    if !links.is_empty() {
        page.paragraph(&format!("Reports of points: {}", links.join(", ")));
    }
}
