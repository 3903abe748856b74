//! The conversation service, asked through its generated client, beside the real user service.

mod activity;
mod announce;
mod audience;
mod group;
mod list;
mod open;
mod support;
