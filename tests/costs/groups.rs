//! The routes of groups.

use chat_e2e::harness::text;
use reqwest::Method;
use serde_json::json;

use crate::{tour::Asked, world::World};

pub async fn groups(world: &World, route: (&str, &str)) -> Vec<Asked> {
    match route {
        ("GET", path @ "/api/groups") => {
            let page = world.size.page;
            world.new_group().await;
            let mut all = vec![
                world.read(&format!("{path}?limit={page}")),
                world.read(&format!("{path}?limit={page}&page=2")),
                world.read(&format!("{path}?limit={page}&search=c")),
            ];
            all.extend(world.paged(path).await);
            all.extend(world.paged(&format!("{path}?search=c")).await);
            all
        }
        ("POST", path @ "/api/groups") => {
            let mut others = world.crowd();
            others.push(&world.peer.id);
            vec![world.post(path, json!({ "name": "Chess", "participants": others }))]
        }
        ("GET", path @ "/api/groups/search") => vec![world.read(&format!("{path}?query=ch"))],
        ("GET", path @ "/api/groups/public") => {
            for _ in 0..2 {
                published(world).await;
            }
            let mut all = vec![world.read(&format!("{path}?limit={}", world.size.page))];
            all.extend(world.paged(path).await);
            all.extend(world.paged(&format!("{path}?query=ch")).await);
            all
        }
        ("GET" | "PUT" | "PATCH", "/api/groups/{id}") => {
            let path = format!("/api/groups/{}", world.group);
            let method: Method = route.0.parse().expect("a method");
            let named = json!({ "name": format!("Chess {}", world.stranger().id) });
            vec![world.asks(method, &path, named)]
        }
        (_, path) if path.contains("invite-link") || path.ends_with("/join") => {
            ways_in(world, route).await
        }
        _ => members(world, route).await,
    }
}

/// Makes a group that anybody may join.
async fn published(world: &World) -> String {
    let group = world.new_group().await;
    let body = json!({ "settings": { "isPublic": true } });
    world.caller.ok(Method::PATCH, &format!("/api/groups/{group}"), body).await;
    group
}

async fn ways_in(world: &World, route: (&str, &str)) -> Vec<Asked> {
    match route {
        ("POST", path @ "/api/groups/join") => {
            let link = format!("/api/groups/{}/invite-link", world.group);
            let link = world.caller.get(&link).await["inviteLink"].clone();
            let mut asked = world.post(path, json!({ "inviteLink": link }));
            asked.who = world.stranger();
            vec![asked]
        }
        ("POST", "/api/groups/{id}/join") => {
            let group = published(world).await;
            let mut asked = world.post(&format!("/api/groups/{group}/join"), json!({}));
            asked.who = world.stranger();
            vec![asked]
        }
        ("GET", "/api/groups/{id}/invite-link") => {
            // The first reader makes it.
            let group = world.new_group().await;
            let path = format!("/api/groups/{group}/invite-link");
            vec![world.read(&path), world.read(&path)]
        }
        (verb @ ("POST" | "DELETE"), "/api/groups/{id}/invite-link") => {
            let path = format!("/api/groups/{}/invite-link", world.group);
            world.caller.get(&path).await;
            vec![world.asks(verb.parse().expect("a method"), &path, json!({}))]
        }
        _ => panic!("{route:?} is not on the tour: say how it is asked"),
    }
}

async fn members(world: &World, route: (&str, &str)) -> Vec<Asked> {
    let group = &world.group;
    let stranger = world.stranger();
    let named = json!({ "groupId": group, "userId": stranger.id });
    let enter = async || {
        let path = "/api/groups/add-participant";
        let added = world.caller.ok(Method::POST, path, named.clone()).await;
        text(&added["group"]["_id"]).to_owned()
    };
    match route {
        ("POST", path @ "/api/groups/add-participant") => vec![world.post(path, named)],
        ("POST", "/api/groups/{id}/members") => {
            let body = json!({ "userId": stranger.id });
            vec![world.post(&format!("/api/groups/{group}/members"), body)]
        }
        ("POST", path @ ("/api/groups/remove-participant" | "/api/groups/promote-admin")) => {
            enter().await;
            vec![world.post(path, named)]
        }
        ("POST", path @ "/api/groups/demote-admin") => {
            enter().await;
            world.caller.ok(Method::POST, "/api/groups/promote-admin", named.clone()).await;
            vec![world.post(path, named)]
        }
        ("DELETE", "/api/groups/{id}/members/{user}") => {
            let path = format!("/api/groups/{}/members/{}", enter().await, stranger.id);
            vec![world.asks(Method::DELETE, &path, json!({}))]
        }
        ("DELETE", "/api/groups/{id}/leave") => {
            let path = format!("/api/groups/{}/leave", enter().await);
            let mut asked = world.asks(Method::DELETE, &path, json!({}));
            asked.who = stranger;
            vec![asked]
        }
        _ => panic!("{route:?} is not on the tour: say how it is asked"),
    }
}
