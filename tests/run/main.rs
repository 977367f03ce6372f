//! Whole runs through the command line: from a specification to a report, disturbed and undisturbed.

mod disturbed;
mod federation;
mod foreign;
mod layouts;
mod real_data;
mod scenario;
mod sites;
mod sizes;
mod sweep;
mod undisturbed;
