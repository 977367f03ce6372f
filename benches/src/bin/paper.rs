//! Prints the tables of `docs/simulate.md`: the published experiments, as the reference ran them and in our layouts.
//!
//! ```text
//! cargo run -p benches --no-default-features --bin paper
//! ```

#[path = "../../../generator/tests/paper/mod.rs"]
mod paper;

fn main() {
    print!("{}", paper::tables());
}
