//! Finding the person behind a contact.

use chat_kit::id::UserId;

use crate::{Service, error::Error, store::users::User};

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

impl Service {
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
