//! What stories and load share: a client that talks to gateways as the official ones do, and says
//! exactly what it hears.

pub mod crashes;
pub mod harness;
pub mod proxy;
pub mod socket;
