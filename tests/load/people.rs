//! The users of a run: logged in and put into conversations through the gateways, as clients do it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Requests under way while a run is prepared.
const MOST_AT_ONCE: usize = 8;

/// Somebody who is logged in.
#[derive(Clone, Debug)]
pub struct Person {
    /// His id.
    pub id: String,
    /// His token.
    pub token: String,
    /// The gateway that he uses.
    pub gateway: SocketAddr,
}

/// The REST API of the gateways.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
}

impl Api {
    /// Makes a client without connections.
    pub fn new() -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
        Ok(Self { http })
    }

    /// Logs `count` users in, the gateways taking turns; the same numbers are the same users.
    pub async fn log_in(
        &self,
        gateways: &[SocketAddr],
        first: u64,
        count: u64,
    ) -> anyhow::Result<Vec<Person>> {
        let logins = gateways.iter().cycle().zip(first..first + count).map(|(gateway, number)| {
            let phone = format!("+1999{number:08}");
            async move {
                let login = self.log_one_in(*gateway, &phone).await;
                login.with_context(|| format!("cannot log {phone} in"))
            }
        });
        stream::iter(logins).buffered(MOST_AT_ONCE).try_collect().await
    }

    async fn log_one_in(&self, gateway: SocketAddr, phone: &str) -> anyhow::Result<Person> {
        let post = |path, body| self.post(gateway, path, "", body);
        let sent = post("/api/auth/send-otp-login", json!({ "phone": phone })).await?;
        let code = json!({ "otp": sent["otp"], "sessionId": sent["sessionId"] });
        let login = post("/api/auth/verify-otp-login", code).await?;
        Ok(Person { id: text(&login["user"]["id"])?, token: text(&login["token"])?, gateway })
    }

    /// Puts every `members` of the people into a conversation of their own; returns the conversations'
    /// ids.
    pub async fn converse(&self, people: &[Person], members: usize) -> anyhow::Result<Vec<String>> {
        let conversations = people.chunks(members).map(|people| async move {
            let [maker, others @ ..] = people else { bail!("a conversation of nobody") };
            let kind = if others.len() == 1 { "direct" } else { "group" };
            let others: Vec<&str> = others.iter().map(|other| other.id.as_str()).collect();
            let body = json!({ "type": kind, "participants": others });
            let path = "/api/conversations";
            let made = self.post(maker.gateway, path, &maker.token, body).await?;
            text(&made["conversation"]["_id"])
        });
        stream::iter(conversations).buffered(MOST_AT_ONCE).try_collect().await
    }

    /// Reads the newest page of a conversation; returns its bytes.
    pub async fn page(
        &self,
        person: &Person,
        conversation: &str,
        size: u32,
    ) -> anyhow::Result<usize> {
        let path = format!("/api/messages?conversationId={conversation}&limit={size}");
        Ok(self.read(person, &path).await?.len())
    }

    /// Reads what is at a path; returns its bytes.
    pub async fn read(&self, person: &Person, path: &str) -> anyhow::Result<Vec<u8>> {
        let url = format!("http://{}{path}", person.gateway);
        let answer = self.http.get(url).bearer_auth(&person.token).send().await?;
        Ok(answer.error_for_status()?.bytes().await?.into())
    }

    /// Makes a POST request of somebody; returns the answer.
    pub async fn ask(&self, person: &Person, path: &str, body: Value) -> anyhow::Result<Value> {
        self.post(person.gateway, path, &person.token, body).await
    }

    async fn post(
        &self,
        gateway: SocketAddr,
        path: &str,
        token: &str,
        body: Value,
    ) -> anyhow::Result<Value> {
        let mut request = self.http.post(format!("http://{gateway}{path}")).json(&body);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        if !status.is_success() {
            bail!("{path}: {status} {body}");
        }
        Ok(body)
    }
}

fn text(value: &Value) -> anyhow::Result<String> {
    value.as_str().map(str::to_owned).context("a text is missing in an answer")
}
