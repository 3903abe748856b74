//! The updates of a profile. They are pipelines, because only those can compare with what is stored;
//! texts are literals in them, lest a name beginning with `$` be read as a field.

use bson::{Bson, DateTime, Document, doc};
use chat_kit::outbox::Entry;

use super::{Profile, UNNAMED};
use crate::{
    announce::Change,
    profile::{Changes, Edit},
};

/// Returns the update that makes a profile, named by its phone where no name is given, or brings it up
/// to date.
pub(super) fn kept(profile: &Profile, now: DateTime) -> Vec<Document> {
    let phone = doc! { "$literal": &profile.phone };
    let named = profile.name.as_ref().map(|name| doc! { "$literal": name });
    let name = named.unwrap_or_else(|| doc! { "$ifNull": ["$name", &phone] });
    let name_key = if let Some(name) = &profile.name {
        name_key(name, &phone)
    } else {
        // MongoDB brings only ASCII into lower case: better than nothing for documents of older versions.
        let is_phone = doc! { "$in": [{ "$ifNull": ["$name", &phone] }, ["$phone", &phone]] };
        let key = doc! { "$cond": [is_phone, UNNAMED, { "$toLower": "$name" }] };
        doc! { "$ifNull": ["$name_key", key] }
    };
    let is_unchanged =
        doc! { "$and": [{ "$eq": ["$phone", &phone] }, { "$eq": ["$name", &name] }] };
    vec![doc! { "$set": {
        "phone": phone,
        "name": name,
        "name_key": name_key,
        "last_seen_at": { "$ifNull": ["$last_seen_at", now] },
        "created_at": { "$ifNull": ["$created_at", now] },
        "updated_at": { "$cond": [is_unchanged, "$updated_at", now] },
    } }]
}

/// Returns the update that changes a profile, and notes that this is still to be announced.
pub(super) fn changed(changes: &Changes, entry: &Entry<Change>) -> Vec<Document> {
    let mut fields = Document::new();
    let mut unchanged = Vec::new();
    let mut edit = |field: &str, edit: Edit<Bson>| {
        let (value, new) = match edit {
            Edit::Keep => return,
            Edit::Clear => (Bson::Null, Bson::from("$$REMOVE")),
            Edit::Set(value) => (value.clone(), doc! { "$literal": value }.into()),
        };
        let old = doc! { "$ifNull": [format!("${field}"), Bson::Null] };
        unchanged.push(doc! { "$eq": [old, { "$literal": value }] });
        fields.insert(field, new);
    };
    edit("name", changes.name.clone().map_or(Edit::Keep, |name| Edit::Set(name.into())));
    edit("bio", changes.bio.as_bson());
    edit("avatar_url", changes.avatar_url.as_bson());
    edit("username", changes.username.as_bson());
    edit("date_of_birth", changes.date_of_birth.as_bson());
    let privacy = changes.last_seen_privacy;
    edit("last_seen_privacy", privacy.map_or(Edit::Keep, |privacy| Edit::Set(privacy.into())));
    if let Some(name) = &changes.name {
        fields.insert("name_key", name_key(name, &doc! { "$ifNull": ["$phone", ""] }));
    }
    let is_unchanged = doc! { "$and": unchanged };
    fields.insert("updated_at", doc! { "$cond": [&is_unchanged, "$updated_at", entry.at] });
    let outbox = doc! { "$ifNull": ["$outbox", "$$REMOVE"] };
    fields.insert("outbox", doc! { "$cond": [&is_unchanged, outbox, entry.appended()] });
    vec![doc! { "$set": fields }]
}

/// Returns the key of a name beside a phone.
fn name_key(name: &str, phone: &Document) -> Document {
    let is_phone = doc! { "$eq": [{ "$literal": name }, phone] };
    doc! { "$cond": [is_phone, UNNAMED, { "$literal": name.to_lowercase() }] }
}
