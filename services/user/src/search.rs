//! Finding the person behind a contact, those behind the phones of an address book, and those whom a
//! list or a search shows.

use chat_kit::id::UserId;

use crate::{
    Service,
    cursor::Cursor,
    error::Error,
    store::users::{Listed, User},
};

/// How many users may be passed over.
const MOST_SKIPPED: u32 = 10_000;

/// One way to find a person.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// By id.
    Id(UserId),
    /// By phone, `+` and digits.
    Phone(String),
    /// By e-mail address, in lower case.
    Email(String),
}

/// Whom a list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// Those whose name begins with a text in lower case; everybody if that is empty.
    Name(String),
    /// The one who has a phone.
    Phone(String),
}

/// A page of users that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) search: Search,
    pub(crate) after: Option<Cursor>,
    pub(crate) skip: u32,
    pub(crate) limit: u32,
    pub(crate) with_total: bool,
}

/// A page of users.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) users: Vec<User>,
    pub(crate) next: Option<Cursor>,
    pub(crate) total: Option<u64>,
}

impl Service {
    /// Returns a page of all users but the caller.
    pub(crate) async fn list(&self, caller: UserId, wanted: &Wanted) -> Result<Page, Error> {
        let prefix = match &wanted.search {
            Search::Name(prefix) => prefix,
            Search::Phone(phone) => return self.list_one(caller, phone, wanted).await,
        };
        let users = self.store.users();
        let listed = Listed {
            prefix,
            but: caller,
            after: wanted.after.as_ref(),
            skip: wanted.skip,
            // One more tells whether the list goes on.
            limit: wanted.limit + 1,
        };
        let page = async {
            if wanted.skip > MOST_SKIPPED { Ok(Vec::new()) } else { users.list(&listed).await }
        };
        let total = async {
            if wanted.with_total { users.count(prefix, caller).await.map(Some) } else { Ok(None) }
        };
        let (mut found, total) = tokio::try_join!(page, total)?;
        let wanted = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
        let goes_on = found.len() > wanted;
        found.truncate(wanted);
        let last = found.last().filter(|_| goes_on);
        let next = last.map(|last| Cursor {
            id: last.id,
            name_key: last.name_key.clone().unwrap_or_default(),
        });
        Ok(Page { users: found, next, total })
    }

    /// Returns the whole list of those who have a phone: one, or nobody.
    async fn list_one(&self, caller: UserId, phone: &str, wanted: &Wanted) -> Result<Page, Error> {
        let found = self.store.users().by_phone(phone).await?;
        let found: Vec<User> = found.into_iter().filter(|user| user.id != caller).collect();
        let total = wanted.with_total.then_some(u64::from(!found.is_empty()));
        let is_first = wanted.skip == 0 && wanted.after.is_none();
        let users = if is_first { found } else { Vec::new() };
        Ok(Page { users, next: None, total })
    }

    /// Returns who has one of some phones, but for the caller, in one read.
    pub(crate) async fn find_by_phones(
        &self,
        caller: UserId,
        phones: &[String],
    ) -> Result<Vec<User>, Error> {
        if phones.is_empty() {
            return Ok(Vec::new());
        }
        self.store.users().by_phones(phones, caller).await
    }

    /// Returns the first person that the lookups find.
    pub(crate) async fn find(&self, lookups: &[Lookup]) -> Result<User, Error> {
        let users = self.store.users();
        let mut looked_for = "contact";
        for lookup in lookups {
            let found = match lookup {
                Lookup::Id(id) => users.by_id(*id).await?,
                Lookup::Phone(phone) => users.by_phone(phone).await?,
                Lookup::Email(email) => users.by_email(email).await?,
            };
            if let Some(user) = found {
                return Ok(user);
            }
            looked_for = match lookup {
                Lookup::Id(_) => "id",
                Lookup::Phone(_) => "phone",
                Lookup::Email(_) => "e-mail address",
            };
        }
        Err(Error::UserNotFound(looked_for))
    }

    /// Returns who has exactly this name, two at most.
    pub(crate) async fn ids_by_name(&self, name: &str) -> Result<Vec<UserId>, Error> {
        self.store.users().ids_by_name(name).await
    }
}
