//! The run on the HTML page: what failed, when jobs ran, what they used, and from which specification.

use super::{
    findings::{STAGE_HEADS, stage_cells},
    markup::Markup,
    model::{FailedJob, Report, Use},
    numbers::{count, counted},
    table::{row, table},
    timeline,
};

/// Failed jobs told one by one.
const MOST_FAILURES: usize = 50;

/// Tells of each failed job what is wrong, where, and what to do.
pub(super) fn draw_failures(report: &Report, main: &mut Markup) {
    if report.failed_jobs.is_empty() {
        return;
    }
    main.element("section", &[("class", &"failures")], |section| {
        section.leaf("h2", &[], "Failed jobs");
        for failed in report.failed_jobs.iter().take(MOST_FAILURES) {
            draw_failure(failed, section);
        }
        if report.failed_jobs.len() > MOST_FAILURES {
            let all = count(report.failed_jobs.len() as u64);
            let note = format!("The first {MOST_FAILURES} of {all}; the JSON report has all.");
            section.leaf("p", &[("class", &"note")], note);
        }
    });
}

fn draw_failure(failed: &FailedJob, section: &mut Markup) {
    let FailedJob {
        job,
        kind: _,
        attempts,
        ended,
        message,
        file,
        help,
        log,
    } = failed;
    section.element("article", &[("class", &"failure")], |article| {
        article.element("p", &[], |line| {
            line.leaf("code", &[], job);
            let attempts = counted(u64::from(*attempts), "attempt", "attempts");
            line.text(format!(": {ended}, after {attempts}"));
        });
        if let Some(message) = message {
            article.leaf("p", &[("class", &"message")], message);
        }
        for (name, path) in [("File", file), ("Log", log)] {
            let Some(path) = path else { continue };
            article.element("p", &[], |line| {
                line.text(format!("{name}: "));
                line.leaf("code", &[], path);
            });
        }
        if let Some(help) = help {
            article.leaf("p", &[("class", &"help")], format!("Help: {help}"));
        }
    });
}

/// Draws the timeline and what each kind of job used.
pub(super) fn draw_run(report: &Report, main: &mut Markup) {
    main.element("section", &[], |section| {
        section.leaf("h2", &[], "The run");
        section.leaf("h3", &[], "Job timeline");
        section.element("figure", &[], |figure| timeline::draw(report, figure));
        section.leaf("h3", &[], "Time and bytes by kind of job");
        draw_stages(report, section);
    });
}

/// What a bar under a number shows, as a share of the largest.
type Quantity = fn(&Use) -> f64;

fn draw_stages(report: &Report, section: &mut Markup) {
    let most = |of: Quantity| {
        report
            .stages
            .iter()
            .map(|stage| of(&stage.used))
            .fold(0.0, f64::max)
    };
    let scales: [Option<Quantity>; 8] = [
        None,
        None,
        None,
        Some(|used| used.wall_s),
        Some(|used| used.cpu_s),
        Some(|used| used.peak_memory_bytes.0 as f64),
        Some(|used| used.bytes_in.0 as f64),
        Some(|used| used.bytes_out.0 as f64),
    ];
    table(section, &STAGE_HEADS, 1, |rows| {
        for stage in &report.stages {
            rows.element("tr", &[], |row| {
                let cells = stage_cells(&stage.kind, &stage.used).into_iter().zip(&scales);
                for (i, (cell, scale)) in cells.enumerate() {
                    if i == 0 {
                        row.leaf("th", &[("scope", &"row")], cell);
                        continue;
                    }
                    row.element("td", &[("class", &"num")], |td| {
                        td.text(cell);
                        if let Some(of) = scale {
                            draw_meter(of(&stage.used), most(*of), td);
                        }
                    });
                }
            });
        }
        row(rows, "main", 1, &stage_cells("together", &report.totals));
    });
    section.leaf(
        "p",
        &[("class", &"note")],
        "Sums over attempts, failed ones included; peak memory is the largest of one attempt. Bytes in are the declared \
         inputs, bytes out what done jobs left.",
    );
}

fn draw_meter(value: f64, most: f64, cell: &mut Markup) {
    let share = if most > 0.0 { value / most * 100.0 } else { 0.0 };
    let view: [(_, &dyn std::fmt::Display); 4] = [
        ("viewBox", &"0 0 100 4"),
        ("preserveAspectRatio", &"none"),
        ("class", &"meter"),
        ("aria-hidden", &"true"),
    ];
    cell.element("svg", &view, |svg| {
        svg.void("rect", &[("class", &"track"), ("width", &100), ("height", &4)]);
        svg.void(
            "rect",
            &[
                ("class", &"value"),
                ("width", &format!("{share:.1}")),
                ("height", &4),
            ],
        );
    });
}

/// Shows the specification and its digest.
pub(super) fn draw_spec(report: &Report, main: &mut Markup) {
    main.element("section", &[], |section| {
        section.leaf("h2", &[], "Specification");
        section.element("p", &[("class", &"digest")], |line| {
            line.text("SHA-256 ");
            line.leaf("code", &[], &report.spec_digest);
        });
        match &report.spec {
            Some(spec) => section.leaf("pre", &[("class", &"spec")], spec),
            None => section.leaf(
                "p",
                &[("class", &"empty")],
                "The run's folder holds no copy of it.",
            ),
        }
    });
}
