//! The user service, asked through its generated client.

mod apart;
mod change;
mod find;
mod list;
mod presence;
mod profile;
mod seen;
mod support;
mod sweep;
