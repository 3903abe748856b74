//! The program that runs the suite: what it prints, what it serves, how it ends, and what it says when
//! it cannot start.

mod processes;
mod program;
mod together;
