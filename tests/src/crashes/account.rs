//! A person's account, and what he asks by HTTP.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::record::{Dialect, Item};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Messages that new clients read at once.
const PAGE: usize = 100;

/// Somebody who is logged in.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// His number among the clients.
    pub(super) number: usize,
    pub(super) id: String,
    pub(super) token: String,
    http: reqwest::Client,
}

impl Account {
    /// Logs a new person in.
    pub(super) async fn new(number: usize, gateway: SocketAddr) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        let mut account = Self { number, id: String::new(), token: String::new(), http };
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() % 10_000_000_000;
        let asked = json!({ "phone": format!("+1{now:010}{number:02}") });
        let path = "/api/auth/send-otp-login";
        let sent = account.ok(gateway, Method::POST, path, &asked).await?;
        let given = json!({ "otp": sent["otp"], "sessionId": sent["sessionId"] });
        let path = "/api/auth/verify-otp-login";
        let login = account.ok(gateway, Method::POST, path, &given).await?;
        account.token = text(&login["token"])?;
        account.id = text(&login["user"]["id"])?;
        Ok(account)
    }

    /// Opens the direct conversation with somebody and returns its id.
    pub(super) async fn open(&self, gateway: SocketAddr, other: &Self) -> anyhow::Result<String> {
        let body = json!({ "otherUserId": other.id });
        let answer = self.ok(gateway, Method::POST, "/api/conversations", &body).await?;
        text(&answer["conversation"]["_id"])
    }

    /// Makes a group with others and returns its id.
    pub(super) async fn group(
        &self,
        gateway: SocketAddr,
        others: impl Iterator<Item = &Self>,
    ) -> anyhow::Result<String> {
        let others: Vec<&str> = others.map(|other| other.id.as_str()).collect();
        let body = json!({ "type": "group", "participants": others });
        let answer = self.ok(gateway, Method::POST, "/api/conversations", &body).await?;
        text(&answer["conversation"]["_id"])
    }

    /// Posts a message; returns the answer, whatever it says.
    pub(super) async fn post(
        &self,
        gateway: SocketAddr,
        dialect: Dialect,
        body: String,
    ) -> anyhow::Result<Value> {
        let url = format!("http://{gateway}/api/messages");
        let request = self.http.post(url).bearer_auth(&self.token).body(body);
        let request = request.header("Content-Type", "application/json");
        let response = declared(request, dialect).send().await?;
        Ok(response.json().await?)
    }

    /// Reads what a client lacks of a conversation: a new one what is behind the number, an old one the
    /// newest messages, since it knows no better.
    pub(super) async fn history(
        &self,
        gateway: SocketAddr,
        dialect: Dialect,
        conversation: &str,
        after: i64,
    ) -> anyhow::Result<Vec<Value>> {
        if dialect == Dialect::Undeclared {
            let path = format!("/messages?conversation={conversation}");
            return list(self.get(gateway, dialect, &path).await?);
        }
        let (mut messages, mut after) = (Vec::new(), after);
        loop {
            let path =
                format!("/api/messages?conversationId={conversation}&after={after}&limit={PAGE}");
            let page = list(self.get(gateway, dialect, &path).await?["messages"].take())?;
            let is_last = page.len() < PAGE;
            after = page.last().map_or(after, |last| last["seq"].as_i64().unwrap_or(after));
            messages.extend(page);
            if is_last {
                return Ok(messages);
            }
        }
    }

    async fn get(
        &self,
        gateway: SocketAddr,
        dialect: Dialect,
        path: &str,
    ) -> anyhow::Result<Value> {
        let request = self.http.get(format!("http://{gateway}{path}")).bearer_auth(&self.token);
        let response = declared(request, dialect).send().await?;
        let status = response.status();
        let body = response.text().await?;
        ensure!(status.is_success(), "{status} {body}");
        Ok(serde_json::from_str(&body)?)
    }

    async fn ok(
        &self,
        gateway: SocketAddr,
        method: Method,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let mut request = self.http.request(method, format!("http://{gateway}{path}"));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        let response = request.json(body).send().await?;
        let status = response.status();
        let answer: Value = response.json().await?;
        ensure!(status.is_success(), "{path}: {status} {answer}");
        Ok(answer)
    }
}

/// Returns a message of the history as it is remembered.
pub(super) fn item(message: &Value) -> anyhow::Result<Item> {
    let id = if message["id"].is_string() { &message["id"] } else { &message["_id"] };
    Ok(Item { id: text(id)?, seq: message["seq"].as_i64() })
}

fn declared(request: reqwest::RequestBuilder, dialect: Dialect) -> reqwest::RequestBuilder {
    match dialect {
        Dialect::Unified => request.header("Client-Type", "unified"),
        Dialect::Undeclared => request,
    }
}

fn list(value: Value) -> anyhow::Result<Vec<Value>> {
    match value {
        Value::Array(items) => Ok(items),
        other => anyhow::bail!("{other} is not a list"),
    }
}

fn text(value: &Value) -> anyhow::Result<String> {
    Ok(value.as_str().with_context(|| format!("{value} is not a text"))?.to_owned())
}
