//! The numbers of commands and calls are the same for somebody who has two of everything and for somebody
//! who has hundreds.

use std::{collections::BTreeSet, time::Duration};

use chat_local::testing::{self, TestSuite};
use reqwest::Method;

use crate::{
    meter::{Cost, Meter},
    sockets::{self, Lines},
    test, tour,
    world::{Databases, LARGE, SMALL, World},
};

/// How often an act is measured before it counts as dearer: a relay or a lost race costs more, once.
const ATTEMPTS: usize = 4;

/// Longer than the measurements take.
const LONG: Duration = Duration::from_hours(1);

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

    /// Connects two sockets, and sends everything on them.
    async fn sockets(&self, world: &World) -> Measured {
        let steps = sockets::all(world).await;
        let (connected, mut lines) = self.measured(Lines::open(&self.suite, world)).await;
        let mut measured = vec![("connect".to_owned(), connected)];
        for step in steps {
            let (cost, ()) = self.measured(lines.make(&step)).await;
            measured.push((step.name.to_owned(), cost));
        }
        measured
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
                seen[usize::from(is_large)].insert(without_second_question(cost));
            }
        }
        if seen.iter().all(|[small, large]| !small.is_disjoint(large)) {
            return Vec::new();
        }
    }
    let grown = names.into_iter().zip(seen).filter(|(_, [small, large])| small.is_disjoint(large));
    grown.map(|(name, [small, large])| format!("{name}\n  {small:?}\n  {large:?}")).collect()
}

/// What a second question about partners costs.
const QUESTION: [&str; 4] = [
    "ConversationService/FilterPartners",
    "conversation aggregate conversations",
    "conversation find blocks",
    "conversation find conversations",
];

/// Takes out of a cost the second question about partners: a list with members of groups with whom the
/// caller has no conversation of their own asks whether a block stands between them, once for all of them.
fn without_second_question(mut cost: Cost) -> Cost {
    if cost.get(QUESTION[0]) == Some(&2) {
        for part in QUESTION {
            if let Some(count) = cost.get_mut(part) {
                *count -= 1;
            }
        }
    }
    cost
}

#[test]
fn nothing_costs_more_commands_or_calls_where_there_is_more() {
    test(async |metrics| {
        let meter = Meter::new(metrics);
        let suite = testing::suite(|options| {
            options.observer = Some(meter.observer());
            // Nobody goes, and no call ends, while it is measured what something else costs.
            options.presence.grace = LONG;
            options.calls.lease = LONG;
            options.bound_sockets.renew_interval = LONG;
        })
        .await;
        let databases = Databases::of(&suite).await;
        let small = World::fill(&suite, &databases, SMALL).await;
        let large = World::fill(&suite, &databases, LARGE).await;
        let scene = Scene { suite, databases, meter, small, large };
        let of = |is_large| if is_large { &scene.large } else { &scene.small };
        let mut grown = compare(async |is_large| scene.sockets(of(is_large)).await).await;
        for (method, path) in tour::all() {
            let route = async |is_large| scene.route(of(is_large), &method, path).await;
            grown.extend(compare(route).await);
        }
        assert!(grown.is_empty(), "{} cost more:\n{}", grown.len(), grown.join("\n"));
    });
}
