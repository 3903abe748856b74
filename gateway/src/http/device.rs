//! Where a login comes from: the device's name, and its address, also behind proxies.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header::USER_AGENT, request::Parts},
};
use chat_kit::http::Connection;
use chat_proto::v1::Device;

use crate::state::AppState;

/// Header to which every proxy appends the address that it heard.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Where a login comes from.
#[derive(Clone, Debug)]
pub struct FromDevice(pub Device);

impl FromRequestParts<AppState> for FromDevice {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let header = |name: &str| {
            let value = parts.headers.get(name)?;
            let text = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        let user_agent = header(USER_AGENT.as_str()).unwrap_or_default();
        let name = header("x-device-name")
            .or_else(|| user_agent.split_whitespace().next().map(str::to_owned));
        let address = client_address(parts, state.config.http.proxies);
        Ok(Self(Device {
            name: name.unwrap_or_else(|| "Unknown".to_owned()),
            address: address.map_or_else(String::new, |address| address.to_string()),
            user_agent,
        }))
    }
}

/// Returns the address of the client that makes a request, behind trusted proxies or not.
#[must_use]
pub fn client_address(parts: &Parts, proxies: usize) -> Option<IpAddr> {
    let peer = parts.extensions.get::<Connection>().map(|connection| connection.peer.ip());
    address_behind(&parts.headers, peer, proxies)
}

/// Returns the address of a client behind trusted proxies: the last of them heard from the one before,
/// and so on, so it is the entry that many places from the right; what stands before it is the
/// client's own invention. Where there is no such entry, the other end of the connection counts.
fn address_behind(headers: &HeaderMap, peer: Option<IpAddr>, proxies: usize) -> Option<IpAddr> {
    let Some(behind) = proxies.checked_sub(1) else { return peer };
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    entries.nth(behind).and_then(parse_address).or(peer)
}

/// Parses an address, which some proxies write with its port or in brackets.
fn parse_address(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    bare.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn address(lines: &[&str], proxies: usize) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).expect(line));
        }
        let peer = Some(IpAddr::from([10, 0, 0, 1]));
        address_behind(&headers, peer, proxies).expect("an address").to_string()
    }

    #[test]
    fn entries_count_from_the_right() {
        let line = "6.6.6.6, 203.0.113.7,10.0.0.3";
        for (proxies, expected) in
            [(0, "10.0.0.1"), (1, "10.0.0.3"), (2, "203.0.113.7"), (3, "6.6.6.6"), (4, "10.0.0.1")]
        {
            assert_eq!(address(&[line], proxies), expected, "{proxies}");
            assert_eq!(address(&["6.6.6.6", "203.0.113.7,10.0.0.3"], proxies), expected);
        }
        assert_eq!(address(&[], 1), "10.0.0.1");
        assert_eq!(address_behind(&HeaderMap::new(), None, 1), None);
    }

    #[test]
    fn inventions_of_a_client_move_nothing() {
        for invented in ["", ",,,", "é", "unknown", "1.2.3.4, 5.6.7.8"] {
            assert_eq!(address(&[invented, "203.0.113.7"], 1), "203.0.113.7", "{invented}");
            let one_line = format!("{invented}, 203.0.113.7");
            assert_eq!(address(&[&one_line], 1), "203.0.113.7", "{invented}");
        }
    }

    #[test]
    fn address_may_have_brackets_and_a_port() {
        for (entry, expected) in [
            ("203.0.113.7:4711", "203.0.113.7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("2001:db8::7", "2001:db8::7"),
            ("unknown", "10.0.0.1"),
        ] {
            assert_eq!(address(&[entry], 1), expected, "{entry}");
        }
    }
}
