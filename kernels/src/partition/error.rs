//! Why samples cannot be partitioned, each with a way out.

/// Why samples cannot be partitioned as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PartitionError {
    /// A share that is none.
    #[error("the share of test patients must be more than 0 and less than 1, not {fraction}")]
    Fraction {
        /// The share as given.
        fraction: f64,
    },
    /// A concentration that is none.
    #[error("the Dirichlet concentration `alpha` must be a positive number, not {alpha}")]
    Alpha {
        /// The concentration as given.
        alpha: f64,
    },
    /// Zero clients.
    #[error("the number of clients must be at least 1")]
    NoClients,
    /// Fewer patients than sides or clients.
    #[error(
        "{patients} patients cannot be divided into {parts} parts, because a patient is never divided; use fewer clients or more patients"
    )]
    TooFewPatients {
        /// Patients there are.
        patients: usize,
        /// Parts asked for.
        parts: u32,
    },
    /// A client ended up with nothing.
    #[error(
        "{clients} clients over {patients} patients leave client {client} without samples; use fewer clients, or `iid`"
    )]
    EmptyClient {
        /// The first such client.
        client: u32,
        /// Clients asked for.
        clients: u32,
        /// Patients there are.
        patients: usize,
    },
    /// `natural` without institutions.
    #[error(
        "patient `{patient}` has a sample of no institution, so `natural` cannot place it; name the column of institutions, or use another partition"
    )]
    NoInstitution {
        /// The patient.
        patient: String,
    },
    /// `natural` with a patient in two places.
    #[error(
        "patient `{patient}` has samples at `{first}` and at `{second}`; make the identifiers distinct if they are two people, or use another partition"
    )]
    TwoInstitutions {
        /// The patient.
        patient: String,
        /// An institution of theirs.
        first: String,
        /// Another.
        second: String,
    },
    /// `natural` with another number of clients.
    #[error(
        "the samples come from {institutions} institutions ({names}), but {clients} clients are asked for; with `natural` the two are the same"
    )]
    Institutions {
        /// Institutions there are.
        institutions: usize,
        /// The first of their names.
        names: String,
        /// Clients asked for.
        clients: u32,
    },
    /// No draw left every client enough samples.
    #[error(
        "no Dirichlet draw of {tries} gave each of {clients} clients at least {min_size} of {samples} samples at alpha {alpha} (smallest client seen: {smallest}); raise alpha, lower the minimum size, or use fewer clients"
    )]
    TooSkewed {
        /// Samples to divide.
        samples: u64,
        /// Clients asked for.
        clients: u32,
        /// Concentration.
        alpha: f64,
        /// Fewest samples a client may have.
        min_size: u64,
        /// Samples of the smallest client in the last draw.
        smallest: u64,
        /// Draws made.
        tries: u32,
    },
    /// No draw could ever leave every client enough samples.
    #[error(
        "{clients} clients of at least {min_size} samples need {needed}, but there are {samples}; lower the minimum size, or use fewer clients"
    )]
    TooFewSamples {
        /// Samples to divide.
        samples: u64,
        /// Clients asked for.
        clients: u32,
        /// Fewest samples a client may have.
        min_size: u64,
        /// Their product.
        needed: u64,
    },
    /// A partition by attribute, and a sample without it.
    #[error(
        "patient `{patient}` has a sample without the attribute, so a partition by it cannot place them; use another attribute or another partition"
    )]
    NoAttribute {
        /// The patient.
        patient: String,
    },
    /// A partition by attribute with another number of clients.
    #[error(
        "the attribute has {values} values ({names}), but {clients} clients are asked for; with a partition by attribute the two are the same"
    )]
    Attributes {
        /// Values there are.
        values: usize,
        /// The first of them.
        names: String,
        /// Clients asked for.
        clients: u32,
    },
    /// `pathological` with more classes a client than there are, or with none.
    #[error(
        "a client of a pathological partition has from 1 to {present} of {present} classes, not {classes}"
    )]
    Classes {
        /// Classes a client is to have.
        classes: u32,
        /// Classes the patients have.
        present: usize,
    },
    /// `pathological` with classes left over.
    #[error(
        "{clients} clients of {classes} classes each hold at most {held} classes, but there are {present}; give clients more classes, or use more clients"
    )]
    ClassesLeftOver {
        /// Clients asked for.
        clients: u32,
        /// Classes a client is to have.
        classes: u32,
        /// Their product.
        held: u64,
        /// Classes the patients have.
        present: usize,
    },
    /// `pathological` with fewer patients than shards.
    #[error(
        "{clients} clients of {classes} classes each need {shards} patients or more, one a shard, but there are {patients}; use fewer clients, or fewer classes a client"
    )]
    TooFewForShards {
        /// Patients there are.
        patients: usize,
        /// Clients asked for.
        clients: u32,
        /// Classes a client is to have.
        classes: u32,
        /// Their product.
        shards: u64,
    },
}
