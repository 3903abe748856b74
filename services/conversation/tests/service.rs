//! The conversation service, asked through its generated client, beside the real user service.

mod activity;
mod announce;
mod audience;
mod blocks;
mod changed;
mod clearing;
mod club;
mod group;
mod group_list;
mod group_members;
mod group_notices;
mod group_rights;
mod invite;
mod list;
mod marks;
mod open;
mod partners;
mod pins;
mod preview;
mod requests;
mod support;
