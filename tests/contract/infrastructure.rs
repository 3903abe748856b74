//! What operators ask, and what is not there.

use serde_json::json;

use crate::{
    Cast, NOTHING,
    index::NOT_SERVED_YET,
    walk::{Ask, Walk},
};

pub async fn walk(walk: &mut Walk, cast: &Cast) {
    let banner = json!({
        "success": true, "message": "filled", "version": "=1.0.0", "endpoints": {
            "auth": "=/api/auth", "messages": "=/api/messages", "conversations": "=/api/conversations",
            "users": "=/api/users", "groups": "=/api/groups",
        },
    });
    walk.ok(Ask::new("GET /"), 200, banner).await;
    let health = json!({
        "success": true, "status": "=ok", "timestamp": "date", "uptime": "number", "database": {
            "status": "=connected", "connected": true, "host": "filled", "name": "filled",
        },
    });
    walk.ok(Ask::new("GET /health"), 200, health).await;
    let database = json!({
        "success": true, "status": "=connected", "timestamp": "date", "database": {
            "host": "filled", "name": "filled", "readyState": 1,
        },
    });
    walk.ok(Ask::new("GET /health/db"), 200, database).await;
    walk.ok(Ask::new("GET /ping"), 200, json!({ "success": true })).await;

    for (_, at) in NOT_SERVED_YET {
        let ask = Ask::new(at).by(&cast.ada).id(NOTHING);
        walk.refused(ask, 404, "not_found").await;
    }
}
