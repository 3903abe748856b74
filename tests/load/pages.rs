//! Pages of history, read over REST at an offered rate.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::JoinSet, time::sleep_until};

use crate::{
    Arguments, Scene,
    people::{Api, Person},
    sockets::Run,
};

/// Requests under way; further ones wait, and their time counts.
const MOST_AT_ONCE: usize = 128;

/// Who reads what, and how often.
pub struct Reading {
    api: Api,
    /// A reader of each conversation.
    readers: Vec<(Person, Arc<str>)>,
    rate: u32,
    page_size: u32,
}

impl Reading {
    /// Lets one member of each conversation read.
    pub fn new(arguments: &Arguments, scene: &Scene) -> Self {
        let members = usize::try_from(arguments.members).unwrap_or(usize::MAX);
        let readers = scene.people.iter().step_by(members).cloned();
        Self {
            api: scene.api.clone(),
            readers: readers.zip(scene.conversations.iter().cloned()).collect(),
            rate: u32::try_from(arguments.pages).unwrap_or(u32::MAX),
            page_size: arguments.page_size.get(),
        }
    }
}

/// Reads pages while messages are sent; those of the warm-up do not count.
pub async fn read(run: Run, reading: Reading) {
    let plan = *run.tally().plan();
    let places = Arc::new(Semaphore::new(MOST_AT_ONCE));
    let mut requests = JoinSet::new();
    for (number, (person, conversation)) in (0..).zip(reading.readers.iter().cycle().cloned()) {
        let due = Duration::from_secs(1) * number / reading.rate;
        if due >= plan.warm_up + plan.measured {
            break;
        }
        sleep_until(run.start + due).await;
        let place = Arc::clone(&places).acquire_owned().await;
        let (run, api, size) = (run.clone(), reading.api.clone(), reading.page_size);
        requests.spawn(async move {
            let _place = place;
            let read = api.page(&person, &conversation, size).await;
            let took = run.start.elapsed().saturating_sub(due);
            let mut tally = run.tally();
            match read {
                Ok(_) if due >= plan.warm_up => tally.page.record(took),
                Ok(_) => {}
                Err(error) => tally.fail(&format!("page: {error}")),
            }
        });
        while requests.try_join_next().is_some() {}
    }
    requests.join_all().await;
}
