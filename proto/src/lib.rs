//! The contract of the suite: the generated types of `chat.v1` and the subjects of its events.

pub mod subject;

/// The generated messages, clients and servers of the package `chat.v1`.
#[expect(clippy::pedantic, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("chat.v1");
}

/// The encoded descriptors of all files, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
