//! The HTTP surface, without services or with one that plays the auth service.

mod app;
mod bodies;
mod limits;
mod routing;
mod sessions;
