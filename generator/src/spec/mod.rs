//! The specification as people write it: YAML into typed values that know their place.
//!
//! In: text. Out: [`Spec`], with every mistake of form reported as a [`Diagnostic`]. What values mean together is
//! [`crate::check`]'s matter. Start at [`read`]; the fields are in [`types`], declared once for reader and schema.

mod decode;
mod labels;
mod leaf;
pub mod pool;
mod schema;
mod sweep;
mod tree;
pub mod types;
mod written;

pub use decode::{At, Found, guess, listed};
pub use labels::{ClassNumber, ClassOf, DicomLabels, Keyword, Label};
pub use leaf::{
    Angle, AtLeastOne, Bits, Channels, Decay, Device, FilePath, Finite, FormatVersion, Memory, Name, Named,
    NonNegative, Part, Positive, Probability, Several, Share, Text, Time, Tolerated, Trim, Whole,
};
pub use schema::{pool_schema, schema};
pub use sweep::{Axis, Grid, MAX_POINTS, Point, Sweep};
pub use tree::MAX_BYTES;
pub use types::Spec;

use crate::diag::{Code, Diagnostic, Span};

/// What a text holds.
#[derive(Debug, Clone)]
pub enum Document {
    /// A specification. Fields that could not be read are `None`; none as a whole when there is no mapping to read at all.
    One(Box<Option<Spec>>),
    /// A specification of many points.
    Sweep(Sweep),
}

/// Reads a specification, pushing every mistake to `found`; those of a sweep's points are found by [`Point::read`].
/// `None` when there is nothing to read.
pub fn document(text: &str, found: &mut Found) -> Option<Document> {
    let root = root(text, found)?;
    if let Some(sweep) = sweep::expand(&root, found) {
        return Some(Document::Sweep(sweep));
    }
    Some(Document::One(Box::new(sweep::read(&root, found))))
}

/// Reads a specification whose `sweep` is but one of its fields.
pub fn read(text: &str, found: &mut Found) -> Option<Spec> {
    sweep::read(&root(text, found)?, found)
}

fn root(text: &str, found: &mut Found) -> Option<tree::Node> {
    let root = tree::parse(text)
        .map_err(|unreadable| found.push(*unreadable))
        .ok()?;
    if root.value != tree::Value::Null {
        return Some(root);
    }
    let error = Diagnostic::error(Code::Empty, Span::default(), "this specification is empty");
    found.push(
        error
            .label("needs a mapping")
            .help("start from one of the examples"),
    );
    None
}
