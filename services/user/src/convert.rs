//! Requests to validated input, documents to protobuf. Pure.

mod changes;

use std::collections::BTreeSet;

use bson::oid::ObjectId;
use chat_kit::{id::UserId, phone};
use chat_proto::v1 as pb;

use crate::{
    config::Limits,
    cursor::Cursor,
    error::Error,
    presence::Lease,
    search::{Lookup, Search, Wanted},
    store::{sockets::Socket, users::Profile},
};

pub(crate) use self::changes::changes;

/// Length of a page that does not say how long, and the longest.
const PAGE: u32 = 20;
const LONGEST_PAGE: u32 = 100;

/// Most sockets of one request.
const MOST_SOCKETS: usize = 500;

/// Digits of the shortest phone.
const SHORTEST_PHONE: usize = 10;

/// Reads the id of one user.
pub(crate) fn user_id(text: &str) -> Result<UserId, Error> {
    text.parse().map_err(|_| Error::InvalidId("user_id"))
}

/// Reads the ids of many users; doubles count once.
pub(crate) fn user_ids(texts: &[String], limits: &Limits) -> Result<Vec<UserId>, Error> {
    let mut ids = BTreeSet::new();
    for text in texts {
        ids.insert(text.parse().map_err(|_| Error::InvalidId("user_ids"))?);
    }
    if ids.len() > limits.ids.get() {
        return Err(Error::TooManyIds(limits.ids.get()));
    }
    Ok(ids.into_iter().collect())
}

/// Reads what a login knows of an account.
pub(crate) fn profile(
    request: &pb::UpsertProfileRequest,
    limits: &Limits,
) -> Result<Profile, Error> {
    let phone = phone::normalise(&request.phone);
    if phone.is_empty() {
        return Err(Error::EmptyPhone);
    }
    let name = request.name.as_deref().map(str::trim);
    if name.is_some_and(str::is_empty) {
        return Err(Error::BlankName);
    }
    let longest = limits.name_length.get();
    if name.is_some_and(|name| name.chars().count() > longest) {
        return Err(Error::NameTooLong(longest));
    }
    Ok(Profile { user_id: user_id(&request.user_id)?, phone, name: name.map(str::to_owned) })
}

/// Reads a contact: what to look for, in this order. Empty for a text that is no contact at all.
pub(crate) fn lookups(contact: &str) -> Vec<Lookup> {
    let contact = contact.trim();
    if contact.contains('@') {
        return vec![Lookup::Email(contact.to_lowercase())];
    }
    let id = contact.parse().ok();
    // 24 digits may be an id or somebody's odd spelling of a phone; any other id is no phone, although
    // digits occur in it.
    let may_be_phone = id.is_none() || contact.bytes().all(|byte| byte.is_ascii_digit());
    let phone = Some(phone::normalise(contact)).filter(|phone| may_be_phone && !phone.is_empty());
    let by_id = id.map(Lookup::Id).into_iter();
    by_id.chain(phone.map(Lookup::Phone)).collect()
}

/// Reads the phones of an address book; doubles count once.
pub(crate) fn phones(texts: &[String], limits: &Limits) -> Result<Vec<String>, Error> {
    let phones: BTreeSet<String> = texts.iter().map(|text| phone::normalise(text)).collect();
    if phones.len() > limits.phones.get() {
        return Err(Error::TooManyPhones(limits.phones.get()));
    }
    Ok(phones.into_iter().filter(|phone| !phone.is_empty()).collect())
}

/// Reads which page of the users is wanted.
pub(crate) fn wanted(request: pb::ListUsersRequest) -> Result<Wanted, Error> {
    let page = request.page.unwrap_or_default();
    let after = Some(page.cursor.as_str()).filter(|cursor| !cursor.is_empty());
    Ok(Wanted {
        search: search(&request.search),
        after: after.map(Cursor::parse).transpose()?,
        skip: request.skip,
        limit: if page.limit == 0 { PAGE } else { page.limit.min(LONGEST_PAGE) },
        with_total: request.with_total,
    })
}

/// Reads what is searched for: a phone where the text can be nothing else, else the begin of a name.
fn search(text: &str) -> Search {
    let text = text.trim();
    let is_spelling = |letter: char| letter.is_ascii_digit() || " +-().".contains(letter);
    let phone = phone::normalise(text);
    if phone.len() > SHORTEST_PHONE && text.chars().all(is_spelling) {
        return Search::Phone(phone);
    }
    Search::Name(text.to_lowercase())
}

/// Writes a page of users, who are shown as the caller sees them.
pub(crate) fn page(
    users: Vec<pb::User>,
    next: Option<Cursor>,
    total: Option<u64>,
) -> pb::ListUsersResponse {
    let next_cursor = next.map(|cursor| cursor.to_string()).unwrap_or_default();
    pb::ListUsersResponse {
        users,
        page: Some(pb::PageResponse { next_cursor }),
        total: total.map(|total| u32::try_from(total).unwrap_or(u32::MAX)),
    }
}

/// Reads the id of a gateway's lease.
pub(crate) fn gateway(text: &str) -> Result<ObjectId, Error> {
    ObjectId::parse_str(text).map_err(|_| Error::InvalidId("gateway_id"))
}

/// Reads sockets that are to be registered.
pub(crate) fn sockets(sockets: &[pb::Socket]) -> Result<Vec<Socket>, Error> {
    at_most(MOST_SOCKETS, sockets.len())?;
    let socket = |socket: &pb::Socket| {
        let user_id = socket.user_id.parse().map_err(|_| Error::InvalidId("sockets.user_id"))?;
        Ok(Socket { id: socket_id("sockets.socket_id", &socket.socket_id)?, user_id })
    };
    sockets.iter().map(socket).collect()
}

/// Reads the ids of sockets that are gone; doubles count once.
pub(crate) fn socket_ids(texts: &[String]) -> Result<Vec<ObjectId>, Error> {
    at_most(MOST_SOCKETS, texts.len())?;
    let ids = texts.iter().map(|text| socket_id("socket_ids", text));
    let ids: BTreeSet<ObjectId> = ids.collect::<Result<_, _>>()?;
    Ok(ids.into_iter().collect())
}

fn socket_id(field: &'static str, text: &str) -> Result<ObjectId, Error> {
    ObjectId::parse_str(text).map_err(|_| Error::InvalidId(field))
}

fn at_most(most: usize, count: usize) -> Result<(), Error> {
    if count > most { Err(Error::TooManySockets(most)) } else { Ok(()) }
}

/// Returns the length of a lease as it is told.
pub(crate) fn lease_millis(lease: &Lease) -> u32 {
    u32::try_from(lease.length.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(text: &str) -> Lookup {
        Lookup::Phone(text.to_owned())
    }

    #[test]
    fn contact_with_an_at_sign_is_an_email() {
        let email = Lookup::Email("ada@example.org".to_owned());
        assert_eq!(lookups(" Ada@Example.ORG "), [email]);
    }

    #[test]
    fn contact_of_24_hex_characters_is_an_id() {
        let id = "65f0c0ffee0123456789abcd".parse().expect("an id");
        assert_eq!(lookups("65F0C0FFEE0123456789ABCD"), [Lookup::Id(id)]);
    }

    #[test]
    fn contact_of_24_digits_is_an_id_first_and_then_a_phone() {
        let text = "123456789012345678901234";
        let id = text.parse().expect("an id");
        let second = phone("+123456789012345678901234");
        assert_eq!(lookups(text), [Lookup::Id(id), second]);
    }

    #[test]
    fn any_other_contact_is_a_phone() {
        assert_eq!(lookups("1 (555) 000-0001"), [phone("+15550000001")]);
        assert_eq!(lookups("no digits"), []);
    }

    #[test]
    fn only_a_whole_phone_is_searched_as_one() {
        for text in ["+1 (555) 000-0001", " 15550000001", "1.555.000.0001"] {
            assert_eq!(search(text), Search::Phone("+15550000001".to_owned()), "{text}");
        }
        for (text, prefix) in
            [(" Ada", "ada"), ("+1555000", "+1555000"), ("ÖDÖN 15550000001", "ödön 15550000001")]
        {
            assert_eq!(search(text), Search::Name(prefix.to_owned()), "{text}");
        }
    }

    #[test]
    fn phones_count_once_in_whatever_spelling() {
        let limits = Limits { phones: std::num::NonZeroUsize::MIN, ..Limits::default() };
        let texts = ["+1 555", "1-555", "(1)555"].map(str::to_owned);
        assert_eq!(phones(&texts, &limits).expect("one phone"), ["+1555"]);
        let texts = ["+1", "+2"].map(str::to_owned);
        let error = phones(&texts, &limits).expect_err("two phones");
        assert!(matches!(error, Error::TooManyPhones(1)), "{error}");
    }

    #[test]
    fn doubled_ids_count_once() {
        let limits = Limits { ids: std::num::NonZeroUsize::MIN, ..Limits::default() };
        let id = UserId::new();
        let doubled = [id.to_string(), id.to_string().to_uppercase()];
        assert_eq!(user_ids(&doubled, &limits).expect("one id"), [id]);
        let two = [id.to_string(), UserId::new().to_string()];
        let error = user_ids(&two, &limits).expect_err("two ids");
        assert!(matches!(error, Error::TooManyIds(1)), "{error}");
    }

    #[test]
    fn blank_and_endless_names_are_refused() {
        for name in [" ".to_owned(), "n".repeat(257)] {
            let request = pb::UpsertProfileRequest {
                user_id: UserId::new().to_string(),
                phone: "+15550000001".to_owned(),
                name: Some(name),
            };
            profile(&request, &Limits::default()).expect_err("not a name");
        }
    }
}
