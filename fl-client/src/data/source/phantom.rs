//! Drawn radiographs: the only synthetic source.
//!
//! In: numbers of patients and institutions, and the dataset's seed. Out: a row a patient, and the pixels of each on
//! demand. Patients are dealt to institutions in turn, and within an institution every other one has an opacity, so
//! institutions differ in nothing; skew comes from the partition alone.

use std::collections::BTreeMap;

use kernels::phantom::{self, Finding};

use super::{Loaded, Origin, Row};
use crate::data::config::Config;

/// The patients, numbered from 0.
pub fn load(patients: u32, sites: u32) -> Loaded {
    let width = sites.saturating_sub(1).to_string().len();
    let rows = (0..patients).map(|number| {
        let site = number % sites;
        let (finding, label) = match (number / sites) % 2 {
            0 => (Finding::NoFinding, "No Finding"),
            _ => (Finding::Opacity, "Opacity"),
        };
        Row {
            image: format!("phantom-{number:06}"),
            patient: format!("p{number:06}"),
            labels: vec![label.to_owned()],
            // Padded, so that the order of the names is the order of the numbers.
            site: Some(format!("institution-{site:0width$}")),
            split: None,
            attributes: BTreeMap::new(),
            origin: Origin::Drawn { number, finding },
        }
    });
    Loaded {
        rows: rows.collect(),
        ..Loaded::default()
    }
}

/// Draws a patient's radiograph: `size` × `size` grey values of 8 bits, row by row.
pub fn draw(config: &Config, number: u32, finding: Finding) -> Vec<u8> {
    let seed = config.seed.derive(&format!("phantom-{number}"));
    phantom::draw(seed.0, finding, config.image.size).into_raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fixtures::phantom_config;

    #[test]
    fn institutions_get_patients_and_findings_alike() {
        let rows = load(48, 12).rows;
        let mut counts = BTreeMap::new();
        for row in &rows {
            *counts
                .entry((row.site.clone().unwrap(), row.labels[0].clone()))
                .or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 24);
        assert!(counts.values().all(|count| *count == 2), "{counts:?}");
        assert_eq!(rows[47].site.as_deref(), Some("institution-11"));
    }

    #[test]
    fn each_patient_looks_different_and_the_same_every_time() {
        let config = Config::new(phantom_config()).unwrap();
        let image = draw(&config, 0, Finding::NoFinding);
        assert_eq!(image.len(), 16 * 16);
        assert_eq!(image, draw(&config, 0, Finding::NoFinding));
        assert_ne!(image, draw(&config, 1, Finding::NoFinding));
        let mut other = phantom_config();
        other.seed.0 += 1;
        assert_ne!(image, draw(&Config::new(other).unwrap(), 0, Finding::NoFinding));
    }
}
