//! The message service through its gRPC client, beside the real conversation and user services, on a
//! real MongoDB and a real NATS with databases of their own per test.

mod announce;
mod cleared;
mod deletions;
mod deliveries;
mod edits;
mod history;
mod left_behind;
mod load;
mod order;
mod parts;
mod queries;
mod reactions;
mod receipt_queries;
mod receipts;
mod repeat;
mod search;
mod send;
mod services;
mod slow_list;
mod start;
mod states;
mod support;
mod sync_pages;
mod synced;
mod system;
