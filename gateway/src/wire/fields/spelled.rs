//! Services name fields as the contract between processes does; clients know them in other spellings.

/// Fields that are called otherwise on the wire, and not only written otherwise.
const CALLED: [(&str, &str); 2] = [("mention_ids", "mentions"), ("reply_to_id", "replyTo")];

/// Returns what a service says of a field, with the name that clients know.
#[must_use]
pub fn spelled(message: &str) -> String {
    let is_of_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(start) = rest.find(is_of_name) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|letter| !is_of_name(letter)).unwrap_or(from.len());
        let (word, behind) = from.split_at(end);
        text.push_str(before);
        match CALLED.iter().find(|(name, _)| *name == word) {
            Some((_, called)) => text.push_str(called),
            None => push_camel(&mut text, word),
        }
        rest = behind;
    }
    text + rest
}

fn push_camel(text: &mut String, word: &str) {
    let mut parts = word.split('_');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (first, others) = part.split_at_checked(1).unwrap_or_default();
        text.push_str(&first.to_ascii_uppercase());
        text.push_str(others);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_fields_are_those_of_the_wire() {
        for (said, shown) in [
            ("client_id exceeds 512 characters", "clientId exceeds 512 characters"),
            ("`max_uses` has no valid value", "`maxUses` has no valid value"),
            ("mention_ids is not an id: an id has 24 hex characters", {
                "mentions is not an id: an id has 24 hex characters"
            }),
            ("reply_to_id", "replyTo"),
            ("attachment.file_type, and name", "attachment.fileType, and name"),
            ("Grüße: ein_zwei_drei", "Grüße: einZweiDrei"),
            ("", ""),
            ("nothing to spell", "nothing to spell"),
        ] {
            assert_eq!(spelled(said), shown);
        }
    }
}
