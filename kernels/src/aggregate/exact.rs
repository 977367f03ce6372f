//! Sums of floating-point numbers without any error.
