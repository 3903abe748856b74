//! Servers that help devices reach each other.

use std::time::Duration;

use bson::DateTime;
use chat_call::{Ice, Turn};
use chat_kit::{config::Secret, time::from_timestamp};
use chat_proto::v1::{GetIceServersRequest, GetIceServersResponse, IceServer};

use crate::support::{Device, Suite, start, start_with};

async fn servers(suite: &Suite, device: &Device) -> GetIceServersResponse {
    let request = device.request(GetIceServersRequest {});
    suite.calls[1].clone().get_ice_servers(request).await.expect("an answer").into_inner()
}

#[tokio::test]
async fn every_user_gets_credentials_of_his_own_that_end() {
    let turn = Turn {
        urls: vec!["turn:turn.example.org".to_owned(), "turns:turn.example.org".to_owned()],
        secret: Secret::new("shared with the servers"),
        ttl: Duration::from_hours(2),
    };
    let stun = vec!["stun:stun.example.org".to_owned()];
    let ice = Ice { stun: stun.clone(), turn: Some(turn.clone()) };
    let suite = start_with(|options| options.ice = ice).await;
    let (ada, grace) = (suite.device().await, suite.device().await);
    let answer = servers(&suite, &ada).await;
    let [of_stun, of_turn] = answer.ice_servers.as_slice() else { panic!("{answer:?}") };
    assert_eq!(of_stun, &IceServer { urls: stun, username: None, credential: None });
    assert_eq!(of_turn.urls, turn.urls);
    let username = of_turn.username.clone().expect("a name");
    let (expiry, user) = username.split_once(':').expect("two parts");
    assert_eq!(user, ada.user.to_string());
    let expires_at = from_timestamp(&answer.expires_at.expect("an end")).timestamp_millis();
    assert_eq!(expiry.parse::<i64>().expect("seconds") * 1000, expires_at);
    let left = expires_at - DateTime::now().timestamp_millis();
    assert!((7_190_000..=7_200_000).contains(&left), "{left} ms");
    let other = servers(&suite, &grace).await.ice_servers.pop().expect("a server");
    assert_ne!(other.credential, of_turn.credential);
}

#[tokio::test]
async fn nobody_is_told_of_servers_that_are_not_there() {
    let suite = start().await;
    let answer = servers(&suite, &suite.device().await).await;
    assert_eq!(answer, GetIceServersResponse::default());
}
