//! Groups: who comes, who goes, and who decides.

use chat_e2e::harness::{Person, text};
use chat_local::testing::TestSuite;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    NOTHING,
    objects::{card, group, ok},
    walk::{Ask, Walk},
};

const ADD: &str = "POST /api/groups/add-participant";
const REMOVE: &str = "POST /api/groups/remove-participant";
const PROMOTE: &str = "POST /api/groups/promote-admin";
const DEMOTE: &str = "POST /api/groups/demote-admin";
const LEAVE: &str = "DELETE /api/groups/{id}/leave";

/// Ada's group, in which Grace and Joan are.
struct Scene {
    ada: Person,
    grace: Person,
    joan: Person,
    stranger: Person,
    id: String,
}

impl Scene {
    async fn new(suite: &TestSuite) -> Self {
        let [one, two] = [suite.gateways[0], suite.gateways[1]];
        let (ada, grace) = (Person::new(one).await, Person::new(two).await);
        let (joan, stranger) = (Person::new(one).await, Person::new(two).await);
        let body = json!({ "name": "Chess", "participants": [grace.id, joan.id] });
        let made = ada.ok(Method::POST, "/api/groups", body).await;
        let id = text(&made["group"]["_id"]).to_owned();
        Self { ada, grace, joan, stranger, id }
    }

    fn ask<'a>(&self, at: &'static str, by: &'a Person, user: &Person) -> Ask<'a> {
        Ask::new(at).by(by).body(json!({ "groupId": self.id, "userId": user.id }))
    }
}

pub async fn walk(walk: &mut Walk, suite: &TestSuite) {
    let scene = Scene::new(suite).await;
    for at in [ADD, REMOVE, PROMOTE, DEMOTE] {
        refuse(walk, at, &scene).await;
    }
    come_and_go(walk, &scene).await;
    rule(walk, &scene).await;
    leave(walk, &scene).await;
}

/// What goes for all four.
async fn refuse(walk: &mut Walk, at: &'static str, scene: &Scene) {
    let Scene { ada, grace, stranger, id, .. } = scene;
    // Where a group is named beside a user, one that does not exist is a wrong value; but who makes
    // administrators learns that there is none.
    let unknown = match at {
        ADD | REMOVE => (400, "validation_error"),
        _ => (404, "not_found"),
    };
    for (body, (status, error)) in [
        (json!({}), (400, "validation_error")),
        (json!({ "groupId": id }), (400, "validation_error")),
        (json!({ "userId": grace.id }), (400, "validation_error")),
        (json!({ "groupId": { "$ne": null }, "userId": grace.id }), (400, "validation_error")),
        (json!({ "groupId": "nonsense", "userId": grace.id }), (400, "invalid_id")),
        (json!({ "groupId": id, "userId": "nonsense" }), (400, "invalid_id")),
        (json!({ "groupId": NOTHING, "userId": grace.id }), unknown),
    ] {
        walk.refused(Ask::new(at).by(ada).body(body), status, error).await;
    }
    walk.refused(scene.ask(at, stranger, grace), 403, "forbidden").await;
    walk.refused(scene.ask(at, stranger, stranger), 403, "forbidden").await;
}

fn changed() -> Value {
    ok(json!({ "group": group(&json!("id"), &card()) }))
}

async fn come_and_go(walk: &mut Walk, scene: &Scene) {
    let Scene { ada, grace, joan, stranger, id } = scene;
    walk.refused(scene.ask(ADD, ada, grace), 409, "already_member").await;
    let nobody = json!({ "groupId": id, "userId": NOTHING });
    walk.refused(Ask::new(ADD).by(ada).body(nobody), 404, "user_not_found").await;
    // Any member may, unless the setting says otherwise.
    let found = walk.ok(scene.ask(ADD, grace, stranger), 200, changed()).await;
    let members = json!([ada.id, grace.id, joan.id, stranger.id]);
    walk.expect(found["group"]["members"] == members, "the new member comes last");
    let group = format!("/api/groups/{id}");
    let settings = json!({ "settings": { "onlyAdminsCanAddMembers": true } });
    ada.ok(Method::PATCH, &group, settings).await;
    walk.refused(scene.ask(REMOVE, grace, joan), 403, "forbidden").await;
    let found = walk.ok(scene.ask(REMOVE, ada, stranger), 200, changed()).await;
    let members = json!([ada.id, grace.id, joan.id]);
    walk.expect(found["group"]["members"] == members, "the removed member is gone");
    walk.ok(scene.ask(REMOVE, ada, stranger), 200, changed()).await;
    walk.refused(scene.ask(ADD, grace, stranger), 403, "forbidden").await;
    walk.refused(scene.ask(REMOVE, ada, ada), 400, "validation_error").await;
    // Whoever removes himself is answered with the group that he has left.
    walk.ok(scene.ask(REMOVE, joan, joan), 200, changed()).await;
    walk.ok(scene.ask(ADD, ada, joan), 200, changed()).await;
}

async fn rule(walk: &mut Walk, scene: &Scene) {
    let Scene { ada, grace, joan, stranger, .. } = scene;
    let with_admins = ok(json!({ "group": group(&card(), &card()) }));
    walk.refused(scene.ask(PROMOTE, grace, joan), 403, "forbidden").await;
    walk.refused(scene.ask(PROMOTE, ada, stranger), 400, "validation_error").await;
    let found = walk.ok(scene.ask(PROMOTE, ada, joan), 200, with_admins.clone()).await;
    walk.expect(found["group"]["admins"][1]["_id"] == *joan.id, "a new administrator");
    walk.refused(scene.ask(PROMOTE, ada, joan), 409, "already_admin").await;
    walk.refused(scene.ask(REMOVE, ada, joan), 400, "validation_error").await;
    walk.refused(scene.ask(DEMOTE, grace, joan), 403, "forbidden").await;
    walk.refused(scene.ask(DEMOTE, joan, ada), 403, "forbidden").await;
    walk.refused(scene.ask(DEMOTE, ada, grace), 400, "validation_error").await;
    let found = walk.ok(scene.ask(DEMOTE, ada, joan), 200, with_admins).await;
    walk.expect(found["group"]["admins"].as_array().map(Vec::len) == Some(1), "one again");
}

async fn leave(walk: &mut Walk, scene: &Scene) {
    let Scene { ada, grace, joan, stranger, id } = scene;
    let said = ok(json!({ "message": "filled" }));
    let ask = |by, id: &str| Ask::new(LEAVE).id(id).by(by);
    for (by, id, status, error) in [
        (ada, "nonsense", 400, "invalid_id"),
        (stranger, id.as_str(), 403, "forbidden"),
        (ada, NOTHING, 404, "not_found"),
    ] {
        walk.refused(ask(by, id), status, error).await;
    }
    walk.ok(ask(grace, id), 200, said.clone()).await;
    walk.refused(ask(grace, id), 403, "forbidden").await;
    // The main administrator hands his office on, and the last one may leave, too.
    walk.ok(ask(ada, id), 200, said.clone()).await;
    let left = joan.get(&format!("/api/groups/{id}")).await;
    walk.expect(left["group"]["admin"]["_id"] == *joan.id, "somebody is the main administrator");
    walk.ok(ask(joan, id), 200, said).await;
}
