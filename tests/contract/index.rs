//! Every endpoint of the contract, and what each answers.

/// An endpoint.
pub struct Row {
    /// Its number in the contract; none has what only the paths without prefix have.
    pub number: Option<u8>,
    /// Method and path.
    pub at: &'static str,
    /// The same without prefix, where old clients may ask for it so.
    pub old: Option<&'static str>,
    /// Every answer that it has: the status, and the reason where it fails.
    pub answers: &'static [&'static str],
}

const fn row(number: u8, at: &'static str, answers: &'static [&'static str]) -> Row {
    Row { number: Some(number), at, old: None, answers }
}

const fn both(
    number: u8,
    at: &'static str,
    old: &'static str,
    answers: &'static [&'static str],
) -> Row {
    Row { number: Some(number), at, old: Some(old), answers }
}

/// The endpoints of the contract that are served.
pub const ROWS: &[Row] = &[
    row(1, "GET /", &["200"]),
    row(2, "GET /health", &["200"]),
    row(3, "GET /health/db", &["200"]),
    Row { number: None, at: "GET /ping", old: None, answers: &["200"] },
    both(
        5,
        "POST /api/auth/send-otp",
        "POST /auth/send-otp",
        &["200", "400 missing", "400 invalid_phone", "409 phone_taken"],
    ),
    both(
        6,
        "POST /api/auth/verify-otp-register",
        "POST /auth/verify-otp-register",
        &[
            "201",
            "400 missing",
            "400 invalid_otp_format",
            "400 invalid_otp",
            "400 validation_error",
            "409 phone_taken",
        ],
    ),
    both(
        7,
        "POST /api/auth/send-otp-login",
        "POST /auth/send-otp-login",
        &["200", "400 missing", "400 invalid_phone"],
    ),
    both(
        8,
        "POST /api/auth/verify-otp-login",
        "POST /auth/verify-otp-login",
        &["200", "400 missing", "400 invalid_otp_format", "400 invalid_otp"],
    ),
    both(
        9,
        "POST /api/auth/login",
        "POST /auth/login",
        &["200", "400 missing", "401 invalid_credentials"],
    ),
    both(
        10,
        "GET /api/auth/me",
        "GET /auth/me",
        &["200", "401 unauthorized", "401 invalid_token", "401 user_not_found"],
    ),
    both(13, "GET /api/messages/search", "GET /messages/search", &["200", "400 validation_error"]),
    both(
        14,
        "POST /api/messages",
        "POST /messages",
        &[
            "200",
            "400 validation_error",
            "400 invalid_conversation_id",
            "400 invalid_id",
            "403 forbidden",
            "404 conversation_not_found",
            "404 user_not_found",
            "413 too_long",
        ],
    ),
    both(
        15,
        "PATCH /api/messages/{id}",
        "PATCH /messages/{id}",
        &[
            "200",
            "400 validation_error",
            "400 invalid_id",
            "403 forbidden",
            "404 not_found",
            "409 message_deleted",
            "413 too_long",
        ],
    ),
    both(
        16,
        "DELETE /api/messages/{id}",
        "DELETE /messages/{id}",
        &["200", "400 validation_error", "400 invalid_id", "403 forbidden", "404 not_found"],
    ),
    row(
        17,
        "PATCH /api/messages/{id}/read",
        &["200", "400 invalid_id", "403 forbidden", "404 not_found"],
    ),
    row(
        18,
        "GET /api/messages/conversation/{id}",
        &[
            "200",
            "400 validation_error",
            "400 invalid_conversation_id",
            "403 forbidden",
            "404 not_found",
        ],
    ),
    both(
        19,
        "GET /api/messages",
        "GET /messages",
        &[
            "200",
            "400 validation_error",
            "400 invalid_conversation_id",
            "400 invalid_id",
            "403 forbidden",
            "404 not_found",
        ],
    ),
    both(
        20,
        "POST /api/conversations/chat-requests",
        "POST /chat-requests",
        &["200", "400 missing_fields", "403 forbidden", "404 user_not_found"],
    ),
    both(
        21,
        "GET /api/conversations/chat-requests",
        "GET /chat-requests",
        &["200", "400 validation_error", "403 forbidden"],
    ),
    both(
        22,
        "POST /api/conversations/chat-requests/{id}/accept",
        "POST /chat-requests/{id}/accept",
        &["200", "400 invalid_id", "403 forbidden", "404 not_found", "409 not_pending"],
    ),
    both(
        23,
        "POST /api/conversations/chat-requests/{id}/decline",
        "POST /chat-requests/{id}/decline",
        &["200", "400 invalid_id", "403 forbidden", "404 not_found", "409 not_pending"],
    ),
    both(
        24,
        "POST /api/conversations/contacts/sync",
        "POST /contacts/sync",
        &["200", "400 validation_error", "413 too_many_contacts"],
    ),
    both(
        25,
        "POST /api/conversations/contacts/start-chat",
        "POST /contacts/start-chat",
        &["200", "400 missing_fields", "403 forbidden", "404 user_not_found"],
    ),
    both(
        26,
        "GET /api/conversations",
        "GET /conversations",
        &["200", "400 validation_error", "400 invalid_id", "403 forbidden"],
    ),
    both(
        27,
        "POST /api/conversations",
        "POST /conversations",
        &["200", "201", "400 validation_error", "404 user_not_found"],
    ),
    both(
        28,
        "GET /api/conversations/{id}",
        "GET /conversations/{id}",
        &["200", "400 invalid_id", "403 forbidden", "404 not_found"],
    ),
    both(
        29,
        "DELETE /api/conversations/{id}",
        "DELETE /conversations/{id}",
        &["200", "400 invalid_id", "403 forbidden", "404 not_found"],
    ),
    both(30, "GET /api/users/search", "GET /users/search", &["200", "400 validation_error"]),
    both(31, "GET /api/users/by-ids", "GET /users/by-ids", &["200"]),
    both(32, "GET /api/users/presence", "GET /presence", &["200"]),
    both(33, "GET /api/users", "GET /users", &["200", "400 validation_error"]),
    both(34, "GET /api/users/profile", "GET /users/profile", &["200"]),
    both(35, "PATCH /api/users/me", "PATCH /users/me", &["200", "400 validation_error"]),
    row(36, "PUT /api/users/me", &["200", "400 validation_error"]),
    both(
        37,
        "GET /api/users/profile/{id}",
        "GET /users/profile/{id}",
        &["200", "400 invalid_id", "404 not_found"],
    ),
    both(38, "GET /api/users/online/count", "GET /users/online/count", &["200"]),
    row(39, "GET /api/groups/search", &["200", "400 validation_error"]),
    row(
        40,
        "POST /api/groups/create",
        &["201", "400 validation_error", "400 invalid_id", "404 user_not_found"],
    ),
    row(
        41,
        "POST /api/groups",
        &["201", "400 validation_error", "400 invalid_id", "404 user_not_found"],
    ),
    row(42, "GET /api/groups", &["200", "400 validation_error"]),
    row(43, "POST /api/groups/join", &["200", "400 validation_error"]),
    row(
        44,
        "GET /api/groups/{id}/invite-link",
        &["200", "400 invalid_id", "403 forbidden", "404 not_found"],
    ),
    row(
        45,
        "DELETE /api/groups/{id}/leave",
        &["200", "400 invalid_id", "403 forbidden", "404 not_found"],
    ),
    row(
        46,
        "POST /api/groups/promote-admin",
        &[
            "200",
            "400 validation_error",
            "400 invalid_id",
            "403 forbidden",
            "404 not_found",
            "409 already_admin",
        ],
    ),
    row(
        47,
        "POST /api/groups/demote-admin",
        &["200", "400 validation_error", "400 invalid_id", "403 forbidden", "404 not_found"],
    ),
    row(
        48,
        "PUT /api/groups/{id}",
        &["200", "400 validation_error", "400 invalid_id", "403 forbidden", "404 not_found"],
    ),
    row(
        49,
        "PATCH /api/groups/{id}",
        &["200", "400 validation_error", "400 invalid_id", "403 forbidden", "404 not_found"],
    ),
    row(
        50,
        "POST /api/groups/add-participant",
        &[
            "200",
            "400 validation_error",
            "400 invalid_id",
            "403 forbidden",
            "404 user_not_found",
            "409 already_member",
        ],
    ),
    row(
        51,
        "POST /api/groups/remove-participant",
        &["200", "400 validation_error", "400 invalid_id", "403 forbidden"],
    ),
    row(52, "GET /api/groups/{id}", &["200", "400 invalid_id", "403 forbidden", "404 not_found"]),
];

/// The endpoints of the contract that are not served yet: uploads and notifications.
pub const NOT_SERVED_YET: &[(Option<u8>, &str)] = &[
    (Some(4), "GET /uploads/{name}"),
    (Some(11), "POST /api/messages/upload"),
    (Some(12), "POST /api/messages/voice"),
    (Some(53), "GET /api/notifications/unread/count"),
    (Some(54), "PATCH /api/notifications/read-all"),
    (Some(55), "GET /api/notifications"),
    (Some(56), "PATCH /api/notifications/{id}/read"),
    (None, "POST /messages/upload"),
    (None, "POST /messages/voice"),
    (None, "POST /upload"),
    (None, "GET /files/{name}"),
];

#[test]
fn every_number_of_the_contract_is_there_once() {
    let served = ROWS.iter().filter_map(|row| row.number);
    let mut numbers: Vec<u8> =
        served.chain(NOT_SERVED_YET.iter().filter_map(|(number, _)| *number)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=56).collect::<Vec<u8>>());
}
