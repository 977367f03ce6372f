//! Clients that the source itself names: its institutions, or the values of an attribute.
//!
//! In: patients. Out: a client number each; clients are in the order of their names. No randomness.

use std::collections::{BTreeMap, BTreeSet};

use super::{PartitionError, patients::Patient};

/// Names listed in an error.
const LISTED: usize = 8;

/// One client per institution.
pub(super) fn natural(patients: &[Patient<'_>], clients: u32) -> Result<Vec<u32>, PartitionError> {
    let mut home = Vec::with_capacity(patients.len());
    for Patient { id, institutions, .. } in patients {
        match institutions[..] {
            [Some(institution)] => home.push(institution),
            // `None` sorts before every name.
            [Some(first), Some(second), ..] => {
                return Err(PartitionError::TwoInstitutions {
                    patient: (*id).to_owned(),
                    first: first.to_owned(),
                    second: second.to_owned(),
                });
            }
            _ => {
                return Err(PartitionError::NoInstitution {
                    patient: (*id).to_owned(),
                });
            }
        }
    }
    numbered(&home, clients).map_err(|(institutions, names)| PartitionError::Institutions {
        institutions,
        names,
        clients,
    })
}

/// One client per value; a patient with several goes where most of their images are.
pub(super) fn attribute(patients: &[Patient<'_>], clients: u32) -> Result<Vec<u32>, PartitionError> {
    let mut home = Vec::with_capacity(patients.len());
    for Patient { id, attribute, .. } in patients {
        home.push(attribute.ok_or_else(|| PartitionError::NoAttribute {
            patient: (*id).to_owned(),
        })?);
    }
    numbered(&home, clients).map_err(|(values, names)| PartitionError::Attributes {
        values,
        names,
        clients,
    })
}

/// Each name's place among all names; if there are not `clients` of them, how many there are and the first few.
fn numbered(home: &[&str], clients: u32) -> Result<Vec<u32>, (usize, String)> {
    let names: BTreeSet<&str> = home.iter().copied().collect();
    if names.len() != clients as usize {
        let mut listed: Vec<String> = names
            .iter()
            .take(LISTED)
            .map(|name| format!("`{name}`"))
            .collect();
        if names.len() > listed.len() {
            listed.push("…".to_owned());
        }
        return Err((names.len(), listed.join(", ")));
    }
    let numbers: BTreeMap<&str, u32> = names.into_iter().zip(0..).collect();
    Ok(home.iter().map(|name| numbers[name]).collect())
}

#[cfg(test)]
mod tests {
    use crate::partition::{PartitionError, Sample, Scheme, assign_clients};

    fn samples<'a>(rows: &[(&'a str, Option<&'a str>)]) -> Vec<Sample<'a>> {
        rows.iter()
            .map(|&(patient, attribute)| Sample {
                patient,
                class: 0,
                institution: None,
                attribute,
            })
            .collect()
    }

    #[test]
    fn a_patient_goes_to_the_value_most_of_their_images_have() {
        let set = samples(&[
            ("a", Some("PA")),
            ("b", Some("AP")),
            ("a", Some("AP")),
            ("c", Some("PA")),
            ("a", Some("PA")),
            // A tie: the first by name.
            ("c", Some("AP")),
        ]);
        assert_eq!(
            assign_clients(&set, 2, &Scheme::Attribute, 0),
            Ok(vec![1, 0, 1, 0, 1, 0])
        );
    }

    #[test]
    fn a_sample_without_the_attribute_names_its_patient() {
        let set = samples(&[("a", Some("F")), ("b", Some("M")), ("b", None)]);
        let error = assign_clients(&set, 2, &Scheme::Attribute, 0).unwrap_err();
        assert!(matches!(&error, PartitionError::NoAttribute { patient } if patient == "b"));
    }

    #[test]
    fn values_that_are_no_clients_are_listed() {
        let set = samples(&[("a", Some("M")), ("b", Some("F")), ("c", Some("O"))]);
        for clients in [2, 4] {
            assert_eq!(
                assign_clients(&set, clients, &Scheme::Attribute, 0),
                Err(PartitionError::Attributes {
                    values: 3,
                    names: "`F`, `M`, `O`".to_owned(),
                    clients
                })
            );
        }
        let many: Vec<String> = (10..30).map(|i| i.to_string()).collect();
        let rows: Vec<_> = many
            .iter()
            .map(|name| (name.as_str(), Some(name.as_str())))
            .collect();
        let error = assign_clients(&samples(&rows), 3, &Scheme::Attribute, 0).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("has 20 values (`10`, `11`, `12`, `13`, `14`, `15`, `16`, `17`, …)"),
            "{error}"
        );
    }
}
