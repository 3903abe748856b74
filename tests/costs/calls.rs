//! The numbers of commands and calls are the same for somebody who has two of everything and for somebody
//! who has hundreds.

use std::collections::BTreeSet;

use chat_e2e::{
    harness::PATIENCE,
    socket::{self, Heard, Receiver, Sender},
};
use chat_local::testing::{self, TestSuite};
use reqwest::Method;
use serde_json::json;

use crate::{
    meter::{Cost, Meter},
    test, tour,
    world::{Databases, LARGE, SMALL, WORD, World},
};

/// How often an act is measured before it counts as dearer: a relay or a lost race costs more, once.
const ATTEMPTS: usize = 4;

struct Scene {
    suite: TestSuite,
    databases: Databases,
    meter: Meter,
    small: World,
    large: World,
}

/// What some acts have cost, and what they were.
type Measured = Vec<(String, Cost)>;

impl Scene {
    async fn measured<T>(&self, act: impl Future<Output = T>) -> (Cost, T) {
        let begin = self.meter.mark(&self.databases).await;
        let done = act.await;
        let end = self.meter.mark(&self.databases).await;
        (self.meter.between(&begin, &end), done)
    }

    async fn route(&self, world: &World, method: &Method, path: &str) -> Measured {
        let requests = tour::requests(world, method, path).await;
        let (mut measured, mut begin) = (Vec::new(), self.meter.mark(&self.databases).await);
        for asked in requests {
            asked.make().await;
            let end = self.meter.mark(&self.databases).await;
            let name = format!("{} {}", asked.method, asked.path);
            measured.push((name, self.meter.between(&begin, &end)));
            begin = end;
        }
        measured
    }

    /// Connects and sends.
    async fn socket(&self, world: &World) -> Measured {
        let auth = json!({ "token": world.caller.token, "clientType": "unified" });
        let gateway = self.suite.gateways[0];
        let connecting = socket::connect(gateway, &auth, PATIENCE);
        let (connected, sockets) = self.measured(connecting).await;
        let (sender, mut receiver) = sockets.expect("a connection");
        let body = json!({ "conversationId": world.group, "content": WORD }).to_string();
        let sending = send(&sender, &mut receiver, &body);
        let (sent, ()) = self.measured(sending).await;
        vec![("connect".to_owned(), connected), ("message:send".to_owned(), sent)]
    }
}

async fn send(sender: &Sender, receiver: &mut Receiver, body: &str) {
    sender.emit_with_ack(1, "message:send", body).await.expect("sent");
    loop {
        match receiver.next().await {
            Heard::Ack(1, answer) => {
                return assert!(answer.body().contains("\"ok\":true"), "{answer:?}");
            }
            Heard::Event(_) => {}
            other => panic!("{other:?} instead of an answer"),
        }
    }
}

/// Measures acts for both until each has cost the same once. Returns what has not.
async fn compare(measure: impl AsyncFn(bool) -> Measured) -> Vec<String> {
    let mut seen: Vec<[BTreeSet<Cost>; 2]> = Vec::new();
    let mut names = Vec::new();
    for _ in 0..ATTEMPTS {
        for is_large in [false, true] {
            let measured = measure(is_large).await;
            seen.resize_with(measured.len(), Default::default);
            names = measured.iter().map(|(name, _)| name.clone()).collect();
            for (seen, (_, cost)) in seen.iter_mut().zip(measured) {
                seen[usize::from(is_large)].insert(cost);
            }
        }
        if seen.iter().all(|[small, large]| !small.is_disjoint(large)) {
            return Vec::new();
        }
    }
    let grown = names.into_iter().zip(seen).filter(|(_, [small, large])| small.is_disjoint(large));
    grown.map(|(name, [small, large])| format!("{name}\n  {small:?}\n  {large:?}")).collect()
}

#[test]
fn nothing_costs_more_commands_or_calls_where_there_is_more() {
    test(async |metrics| {
        let meter = Meter::new(metrics);
        let suite = testing::suite(|options| options.observer = Some(meter.observer())).await;
        let databases = Databases::of(&suite).await;
        let small = World::fill(&suite, &databases, SMALL).await;
        let large = World::fill(&suite, &databases, LARGE).await;
        let scene = Scene { suite, databases, meter, small, large };
        let of = |is_large| if is_large { &scene.large } else { &scene.small };
        let mut grown = compare(async |is_large| scene.socket(of(is_large)).await).await;
        for (method, path) in tour::all() {
            let route = async |is_large| scene.route(of(is_large), &method, path).await;
            grown.extend(compare(route).await);
        }
        assert!(grown.is_empty(), "{} cost more:\n{}", grown.len(), grown.join("\n"));
    });
}
