//! Stories over the whole suite: real MongoDB and NATS, all services, always at least two gateways.

use chat_e2e::{harness, proxy};

mod own_gateway;
mod polling;
mod program;

mod announcing;
mod apart;
mod authorization;
mod blocks;
mod browser;
mod calls;
mod clearing;
mod contacts;
mod deletions;
mod drain;
mod edits;
mod fanout;
mod flags;
mod forwarding;
mod groups;
mod idle_load;
mod interruptions;
mod invites;
mod limits;
mod load_command;
mod membership;
mod official_clients;
mod order;
mod presence;
mod privacy;
mod python_client;
mod reactions;
mod reading;
mod receipts;
mod recipients;
mod repetition;
mod replies;
mod requests;
mod round_trips;
mod sessions;
mod starting;
mod sync;
mod transports;
mod typing;
mod typists;
mod users;
