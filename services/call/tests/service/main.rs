//! The call service, over gRPC and on real servers, two replicas of it.

mod announce;
mod answer;
mod candidates;
mod ear;
mod hang_up;
mod history;
mod ice;
mod limits;
mod missed;
mod outage;
mod place;
mod queries;
mod races;
mod sockets;
mod start;
mod support;
