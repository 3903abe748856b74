//! The service through its gRPC client, on real servers, with a database of its own per test.

mod limits;
mod login;
mod otp;
mod passwords;
mod registration;
mod session;
mod start;
mod support;
mod users;
mod webhook;
mod wrong_passwords;
