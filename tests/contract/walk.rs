//! Asks, compares every answer with what the contract says, and notes what was met and what differs.

use std::{collections::BTreeSet, net::SocketAddr, path::Path, time::Duration};

use chat_e2e::harness::Person;
use reqwest::{
    Client, Method,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde_json::{Value, json};

use crate::{index::ROWS, shape::differences};

/// How long an answer may take: longer than gateways take to say that there will be none.
const PATIENCE: Duration = Duration::from_secs(20);
/// The type of every answer; one client reads any other text as Latin-1.
const JSON: &str = "application/json; charset=utf-8";

/// By which paths an endpoint is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Those below `/api`.
    Common,
    /// Those without prefix, of old clients.
    Old,
}

impl Form {
    /// Returns the path of an endpoint in this form.
    #[must_use]
    pub fn of(self, at: &'static str) -> &'static str {
        let row = ROWS.iter().find(|row| row.at == at);
        let row = row.unwrap_or_else(|| panic!("{at} is no endpoint of the contract"));
        match self {
            Self::Common => row.at,
            Self::Old => row.old.unwrap_or_else(|| panic!("{at} has no path without prefix")),
        }
    }

    /// Returns a question for an endpoint in this form.
    #[must_use]
    pub fn ask(self, at: &'static str) -> Ask<'static> {
        Ask::new(self.of(at))
    }
}

/// A question.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    at: &'static str,
    ids: Vec<String>,
    query: String,
    token: Option<&'a str>,
    body: Option<Value>,
    headers: Vec<(&'static str, String)>,
}

impl<'a> Ask<'a> {
    /// Asks an endpoint, by method and path.
    #[must_use]
    pub fn new(at: &'static str) -> Self {
        let none = Vec::new;
        Self { at, ids: none(), query: String::new(), token: None, body: None, headers: Vec::new() }
    }

    /// Asks in somebody's name.
    #[must_use]
    pub fn by<'b>(self, person: &'b Person) -> Ask<'b>
    where
        'a: 'b,
    {
        Ask { token: Some(&person.token), ..self }
    }

    /// Fills the next parameter of the path.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.ids.push(id.to_owned());
        self
    }

    /// Adds what stands behind the path.
    #[must_use]
    pub fn query(mut self, query: &str) -> Self {
        self.query = format!("?{query}");
        self
    }

    /// Adds a parameter to what stands behind the path.
    #[must_use]
    pub fn and_query(mut self, query: &str) -> Self {
        let mark = if self.query.is_empty() { '?' } else { '&' };
        self.query = format!("{}{mark}{query}", self.query);
        self
    }

    /// Sends a JSON body.
    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Sends a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn method(&self) -> Method {
        let (method, _) = self.at.split_once(' ').expect("a method and a path");
        method.parse().expect("a method")
    }

    fn path(&self) -> String {
        let (_, path) = self.at.split_once(' ').expect("a method and a path");
        let mut ids = self.ids.iter();
        let mut id = || ids.next().unwrap_or_else(|| panic!("{} names something", self.at));
        let parts = path.split('/').map(|part| if part.starts_with('{') { id() } else { part });
        parts.collect::<Vec<_>>().join("/") + &self.query
    }
}

/// What was met so far.
pub struct Walk {
    gateways: Vec<SocketAddr>,
    http: Client,
    asked: usize,
    met: BTreeSet<(&'static str, String)>,
    differences: Vec<String>,
}

impl Walk {
    /// Begins a walk. The gateways are asked in turn.
    #[must_use]
    pub fn new(gateways: &[SocketAddr]) -> Self {
        let http = Client::builder().timeout(PATIENCE).build().expect("a client");
        let (met, differences) = (BTreeSet::new(), Vec::new());
        Self { gateways: gateways.to_vec(), http, asked: 0, met, differences }
    }

    /// Asks for what must go well; returns the answer.
    pub async fn ok(&mut self, ask: Ask<'_>, status: u16, shape: Value) -> Value {
        let what = describe(&ask);
        let (answered, found) = self.answer(&ask).await;
        if answered == status {
            self.met.insert((ask.at, status.to_string()));
            let differences = differences(&shape, &found);
            let told = differences.iter().map(|difference| format!("{what}: {difference}"));
            self.differences.extend(told);
        } else {
            self.differences.push(format!("{what}: {answered} instead of {status}: {found}"));
        }
        found
    }

    /// Asks for what must be refused.
    pub async fn refused(&mut self, ask: Ask<'_>, status: u16, error: &'static str) {
        let what = describe(&ask);
        let (answered, found) = self.answer(&ask).await;
        let expected =
            json!({ "success": false, "error": format!("={error}"), "message": "filled" });
        if answered != status || found["error"] != error {
            let said = format!("{answered} {found} instead of {status} {error}");
            self.differences.push(format!("{what}: {said}"));
            return;
        }
        self.met.insert((ask.at, format!("{status} {error}")));
        let told = differences(&expected, &found);
        self.differences.extend(told.iter().map(|difference| format!("{what}: {difference}")));
    }

    /// Asks, and looks at nothing but what goes for every answer.
    pub async fn answer(&mut self, ask: &Ask<'_>) -> (u16, Value) {
        self.asked += 1;
        let gateway = self.gateways[self.asked % self.gateways.len()];
        let url = format!("http://{gateway}{}", ask.path());
        let mut request = self.http.request(ask.method(), url);
        if let Some(token) = ask.token {
            request = request.bearer_auth(token);
        }
        // The mobile client names the type also where it sends no body.
        request = request.header(CONTENT_TYPE, JSON);
        if let Some(body) = &ask.body {
            request = request.body(body.to_string());
        }
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.bytes().await.expect("a body");
        self.check_headers(ask, &headers);
        let found = serde_json::from_slice(&body);
        (status, found.unwrap_or_else(|error| panic!("{}: {status}: {error}", describe(ask))))
    }

    fn check_headers(&mut self, ask: &Ask<'_>, headers: &HeaderMap) {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if kind != Some(JSON) {
            self.differences.push(format!("{}: the type is {kind:?}", describe(ask)));
        }
        if !headers.contains_key("x-request-id") {
            self.differences.push(format!("{}: no id of the request", describe(ask)));
        }
    }

    async fn document(&self) -> Value {
        let url = format!("http://{}/openapi.json", self.gateways[0]);
        let response = self.http.get(url).send().await.expect("an answer");
        response.json().await.expect("the document of a gateway")
    }

    /// Notes a difference that was found otherwise.
    pub fn expect(&mut self, is_so: bool, what: &str) {
        if !is_so {
            self.differences.push(what.to_owned());
        }
    }

    /// Ends a walk by some endpoints alone: nothing differs.
    pub fn end_of_part(mut self) {
        self.report();
    }

    fn report(&mut self) {
        self.differences.sort();
        self.differences.dedup();
        let told = self.differences.join("\n");
        assert!(told.is_empty(), "{} differences:\n{told}", self.differences.len());
    }

    /// Ends the walk: every answer of every endpoint was met, the document of the gateway and the guide
    /// tell of each, and nothing differs.
    pub async fn end(mut self) {
        for row in ROWS {
            for at in [Some(row.at), row.old].into_iter().flatten() {
                let missed = row.answers.iter().filter(|answer| {
                    !self.met.iter().any(|(met, said)| *met == at && said == *answer)
                });
                self.differences.extend(missed.map(|answer| format!("{at}: never met {answer}")));
            }
        }
        let document = self.document().await;
        let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
        let guide = std::fs::read_to_string(guide).expect("the guide");
        let is_served = |at: &str| ROWS.iter().any(|row| row.at == at || row.old == Some(at));
        for (at, answer) in self.met.iter().filter(|(at, _)| is_served(at)) {
            if !tells(&document, at, answer) {
                self.differences.push(format!("{at}: the document does not tell of {answer}"));
            }
            if let Some((_, error)) = answer.split_once(' ')
                && !guide.contains(&format!("`{error}`"))
            {
                self.differences.push(format!("docs/api.md does not tell of {error}"));
            }
        }
        self.report();
    }
}

fn describe(ask: &Ask<'_>) -> String {
    let body = ask.body.as_ref().map(Value::to_string).unwrap_or_default();
    let short: String = body.chars().take(160).collect();
    format!("{} {} {short}", ask.method(), ask.path())
}

/// Says whether the document of a gateway tells of an answer: a status, and the reason of a failure.
fn tells(document: &Value, at: &str, answer: &str) -> bool {
    let (method, path) = at.split_once(' ').expect("a method and a path");
    let path = document["paths"].as_object().expect("paths").iter().find(|(known, _)| {
        let shape = |path: &str| {
            let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
            parts.collect::<Vec<_>>().join("/")
        };
        shape(known) == shape(path)
    });
    let Some((_, operations)) = path else { return false };
    let responses = &operations[method.to_ascii_lowercase()]["responses"];
    let Some((status, error)) = answer.split_once(' ') else {
        return responses.get(answer).is_some();
    };
    let known = responses[status].to_string();
    known.contains(&format!("\"{error}\""))
}
