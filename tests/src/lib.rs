//! Real programs, traced for real.
