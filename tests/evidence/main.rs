//! What runs on a pool leave behind, read as it is.

mod corpus;
