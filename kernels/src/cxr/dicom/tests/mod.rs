//! Files made byte by byte, each with one property.

mod builder;
mod meaning;
mod pixels;
mod structure;
