//! The specification as people write it: YAML into typed values that know their place.
//!
//! In: text. Out: [`Spec`], with every mistake of form reported as a [`Diagnostic`]. What values mean together is
//! [`crate::check`]'s matter. Start at [`read`]; the fields are in [`types`], declared once for reader and schema.

mod decode;
mod labels;
mod leaf;
mod schema;
mod tree;
pub mod types;
mod written;

pub use decode::{At, Found, guess, listed};
pub use labels::{ClassNumber, ClassOf, DicomLabels, Keyword, Label};
pub use leaf::{
    Angle, Bits, Channels, Decay, Device, FilePath, Finite, FormatVersion, Memory, Name, Named, NonNegative,
    Part, Positive, Probability, Several, Share, Text, Time, Tolerated, Trim, Whole,
};
pub use schema::schema;
pub use tree::MAX_BYTES;
pub use types::Spec;

use crate::diag::{Code, Diagnostic, Span};
use decode::{Place, WHOLE, Written};

/// Reads a specification, pushing every mistake to `found`. Fields that could not be read are `None` in what is
/// returned; `None` as a whole when there is no mapping to read at all.
pub fn read(text: &str, found: &mut Found) -> Option<Spec> {
    let root = match tree::parse(text) {
        Ok(root) => root,
        Err(unreadable) => {
            found.push(*unreadable);
            return None;
        }
    };
    if root.value == tree::Value::Null {
        let error = Diagnostic::error(Code::Empty, Span::default(), "this specification is empty");
        found.push(
            error
                .label("needs a mapping")
                .help("start from one of the examples"),
        );
        return None;
    }
    Spec::read(
        &root,
        Place {
            name: WHOLE,
            span: Span::default(),
        },
        found,
    )
}
