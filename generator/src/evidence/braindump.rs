//! Reads `braindump.yml`, by which a Pegasus submit directory says what it is.
//!
//! In: the file's text. Out: a [`Braindump`]. Start at [`parse`]. Pure.

use serde::Deserialize;

/// The largest such file read.
pub const MAX_BYTES: u64 = 1 << 20;

/// What a submit directory is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Braindump {
    /// This planned workflow.
    pub wf_uuid: String,
    /// The workflow it belongs to; itself, where it is no sub-workflow.
    pub root_wf_uuid: String,
    /// When it was planned, such as `20261122T122513+0000`.
    pub timestamp: String,
    /// The workflow's name.
    pub dax_label: String,
    /// The DAG file's name.
    pub dag: String,
}

impl Braindump {
    /// Whether it is no sub-workflow.
    pub fn is_root(&self) -> bool {
        self.wf_uuid == self.root_wf_uuid
    }
}

/// Reads the file's text.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Braindump, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: text.len().saturating_add(1000),
            max_nodes: text.len().saturating_add(1000),
            max_total_scalar_bytes: text.len().saturating_mul(2).saturating_add(1000),
            max_depth: 8,
        },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}
