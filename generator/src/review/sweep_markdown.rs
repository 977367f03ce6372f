//! The review of a sweep as Markdown, for people who approve.

use contract::units::Bytes;

use super::{
    markdown::{approval, bare, moved, row, system, warnings},
    model::Moved,
    sweep::{Noted, PointReview, SweepReview},
};
use crate::report::{
    Page,
    numbers::{bytes, count, seconds},
    plain,
};

/// Points named where something is so for some of them; the JSON has all.
const MOST_NAMES: usize = 3;

/// The review of a sweep as Markdown.
pub fn sweep_markdown(review: &SweepReview) -> String {
    let mut page = Page::default();
    let synthetic = if review.synthetic { " (SYNTHETIC data)" } else { "" };
    page.line(&format!(
        "# {}{synthetic}: {} points for review",
        plain(&review.experiment),
        count(review.points.len() as u64)
    ));
    if let Some(intent) = &review.intent {
        page.paragraph(&plain(intent));
    }
    overview(review, &mut page);
    points(review, &mut page);
    open_questions(review, &mut page);
    warnings(&review.warnings, &mut page);
    assumptions(review, &mut page);
    approval(&review.spec_digest, &mut page);
    page.finish()
}

fn sum(review: &SweepReview, of: impl Fn(&PointReview) -> u64) -> u64 {
    review.points.iter().map(of).sum()
}

/// The workflow systems that something is known of, and which of a point's entries is theirs.
fn targets<T>(
    review: &SweepReview,
    entries: fn(&PointReview) -> &[T],
    target: fn(&T) -> &'static str,
) -> Vec<(usize, &'static str)> {
    let first = review.points.first().map_or(&[][..], entries);
    first.iter().map(target).enumerate().collect()
}

fn traffic(review: &SweepReview) -> Vec<(usize, &'static str)> {
    targets(review, |point| &point.traffic, |traffic| traffic.target)
}

fn makespans(review: &SweepReview) -> Vec<(usize, &'static str)> {
    targets(review, |point| &point.makespans, |makespan| makespan.target)
}

fn overview(review: &SweepReview, page: &mut Page) {
    let (jobs, here) = (
        sum(review, |point| point.jobs),
        sum(review, |point| point.on_submit_host),
    );
    let mut rows = vec![
        row(
            "Points",
            format!(
                "{}; a pool works on {} at once",
                count(review.points.len() as u64),
                count(review.at_once.into())
            ),
        ),
        row(
            "Jobs",
            format!(
                "{}, {} of them away from the submit host",
                count(jobs),
                count(jobs - here)
            ),
        ),
        row(
            "Files",
            format!(
                "{}, together {}",
                count(sum(review, |point| point.files)),
                bytes(Bytes(sum(review, |point| point.bytes.0)))
            ),
        ),
    ];
    for (place, target) in traffic(review) {
        let whole = Moved {
            received: Bytes(sum(review, |point| point.traffic[place].moved.received.0)),
            sent: Bytes(sum(review, |point| point.traffic[place].moved.sent.0)),
        };
        let what = format!("Moved under {}", system(target));
        rows.push(row(&what, format!("{} in all", moved(whole))));
    }
    let predicted = makespans(review);
    if predicted.is_empty() {
        rows.push(row("Makespan", "not predicted without a pool: give --pool POOL"));
    }
    for (place, target) in predicted {
        let all = review.points.iter().map(|point| point.makespans[place].seconds);
        rows.push(row(
            &format!("Makespan under {}", system(target)),
            format!("{}, predicted, one point after the other", seconds(all.sum())),
        ));
    }
    rows.push(row("Specification", format!("SHA-256 {}", review.spec_digest)));
    page.words(&["Sweep", ""], &rows);
    let axes: Vec<_> = review
        .axes
        .iter()
        .map(|axis| row(&axis.place, axis.values.join(", ")))
        .collect();
    page.words(&["Place", "Values"], &axes);
}

fn points(review: &SweepReview, page: &mut Page) {
    page.line("## Points");
    let mut head: Vec<String> = vec!["Point".to_owned()];
    head.extend(review.axes.iter().map(|axis| axis.place.clone()));
    let numbers = ["Clients", "Rounds", "Jobs", "Sub-workflows", "Files", "Together"];
    head.extend(numbers.map(str::to_owned));
    for (_, target) in traffic(review) {
        head.push(format!("Moved under {}", system(target)));
    }
    for (_, target) in makespans(review) {
        head.push(format!("Makespan under {}", system(target)));
    }
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let rows: Vec<_> = review.points.iter().map(cells).collect();
    page.rows(&head, &rows, 1 + review.axes.len());
    page.paragraph(
        "Points share no files, so each prepares its own data. What one is in full: its specification, from `fedwing points SPEC --point \
         NAME`, reviewed by itself.",
    );
}

fn cells(point: &PointReview) -> Vec<String> {
    let mut cells = vec![point.name.clone()];
    cells.extend(point.values.iter().cloned());
    cells.extend([
        count(point.clients),
        count(point.rounds.into()),
        count(point.jobs),
        count(point.sub_workflows),
        count(point.files),
        bytes(point.bytes),
    ]);
    let moved = point.traffic.iter().map(|traffic| traffic.moved);
    cells.extend(moved.map(|moved| bytes(Bytes(moved.received.0 + moved.sent.0))));
    cells.extend(point.makespans.iter().map(|makespan| seconds(makespan.seconds)));
    cells
}

/// Which points something is so for.
fn which<T>(noted: &Noted<T>, review: &SweepReview) -> String {
    if noted.points.len() == review.points.len() {
        return "all".to_owned();
    }
    let (named, others) = noted.points.split_at(MOST_NAMES.min(noted.points.len()));
    match others.len() {
        0 => named.join(", "),
        more => format!("{} and {} more", named.join(", "), count(more as u64)),
    }
}

fn open_questions(review: &SweepReview, page: &mut Page) {
    page.line("## Open questions");
    let rows: Vec<_> = review
        .open_questions
        .iter()
        .map(|noted| {
            vec![
                bare(&noted.what.about),
                bare(&noted.what.question),
                bare(&noted.what.way_out),
                which(noted, review),
            ]
        })
        .collect();
    page.words(&["About", "Question", "Way out", "Points"], &rows);
}

fn assumptions(review: &SweepReview, page: &mut Page) {
    if review.assumptions.is_empty() {
        return;
    }
    page.line("## Sizes");
    page.paragraph("Sizes assume:");
    for noted in &review.assumptions {
        page.item(&format!(
            "{} (points: {})",
            plain(&bare(&noted.what)),
            plain(&which(noted, review))
        ));
    }
}
