//! The user service, asked through its generated client.

mod find;
mod profile;
mod support;
