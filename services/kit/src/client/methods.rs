//! Which methods may be called again when it is not known whether the first call was heard: the
//! contract says so with protobuf's own option.

use std::{collections::HashSet, sync::LazyLock};

use prost::Message as _;
use prost_types::{FileDescriptorSet, method_options::IdempotencyLevel};

/// The health check of every gRPC server, whose contract is older than the option.
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

/// Paths of the methods that may be called again.
static REPEATABLE: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let descriptors = FileDescriptorSet::decode(chat_proto::FILE_DESCRIPTOR_SET);
    let mut paths = HashSet::from([HEALTH_CHECK.to_owned()]);
    for file in descriptors.expect("the build made them").file {
        for service in &file.service {
            for method in &service.method {
                let options = method.options.clone().unwrap_or_default();
                if options.idempotency_level() != IdempotencyLevel::IdempotencyUnknown {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    paths.insert(path);
                }
            }
        }
    }
    paths
});

/// Says whether a call of the method with this path has the same effect when it is made twice.
pub(super) fn is_repeatable(path: &str) -> bool {
    REPEATABLE.contains(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contract_says_what_may_be_repeated() {
        for path in [
            "/chat.v1.MessageService/SendMessage",
            "/chat.v1.MessageService/ListMessages",
            "/chat.v1.ConversationService/OpenDirectConversation",
            "/chat.v1.AuthService/CheckSession",
            "/grpc.health.v1.Health/Check",
        ] {
            assert!(is_repeatable(path), "{path}");
        }
        for path in [
            "/chat.v1.AuthService/SendOtp",
            "/chat.v1.AuthService/VerifyLogin",
            "/chat.v1.AuthService/VerifyRegistration",
            "/chat.v1.AuthService/Unheard",
        ] {
            assert!(!is_repeatable(path), "{path}");
        }
    }
}
