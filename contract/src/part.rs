//! A part of a dataset's samples, where they are prepared by several jobs.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::ids::ClientId;

/// The samples one `prepare` job prepares, where data is at several places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Part {
    /// Those of no client: test and validation samples.
    HeldOut,
    /// Those of these clients; never empty.
    Clients(BTreeSet<ClientId>),
}

/// Why a text is not a part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is neither `held_out` nor clients' numbers in ascending order, such as `0,3`")]
pub struct InvalidPart {
    /// The text as given.
    pub given: String,
}

impl Part {
    const HELD_OUT: &str = "held_out";

    /// Whether it has the samples of `client`; of none, the held-out ones.
    pub fn has(&self, client: Option<ClientId>) -> bool {
        match (self, client) {
            (Part::HeldOut, client) => client.is_none(),
            (Part::Clients(clients), Some(client)) => clients.contains(&client),
            (Part::Clients(_), None) => false,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::HeldOut => f.write_str(Self::HELD_OUT),
            Part::Clients(clients) => {
                for (place, client) in clients.iter().enumerate() {
                    let comma = if place > 0 { "," } else { "" };
                    write!(f, "{comma}{client}")?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for Part {
    type Err = InvalidPart;
    fn from_str(text: &str) -> Result<Self, InvalidPart> {
        if text == Self::HELD_OUT {
            return Ok(Part::HeldOut);
        }
        let numbers: Option<Vec<u32>> = text.split(',').map(|number| number.parse().ok()).collect();
        let ascending = numbers.filter(|numbers| numbers.windows(2).all(|pair| pair[0] < pair[1]));
        let numbers = ascending.ok_or_else(|| InvalidPart {
            given: text.to_owned(),
        })?;
        Ok(Part::Clients(numbers.into_iter().map(ClientId).collect()))
    }
}

impl TryFrom<String> for Part {
    type Error = InvalidPart;
    fn try_from(text: String) -> Result<Self, InvalidPart> {
        text.parse()
    }
}

impl From<Part> for String {
    fn from(part: Part) -> String {
        part.to_string()
    }
}
