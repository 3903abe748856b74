//! The service through its gRPC client, on a real MongoDB with a database of its own per test.

mod limits;
mod login;
mod otp;
mod registration;
mod session;
mod start;
mod support;
