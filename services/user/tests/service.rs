//! The user service, asked through its generated client.

mod change;
mod find;
mod list;
mod profile;
mod support;
