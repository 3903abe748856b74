//! Pictures of users and groups, which are known by their URLs.

/// Says whether a text is a web address or a path: everybody's client opens it.
#[must_use]
pub fn is_url(text: &str) -> bool {
    let is_letter = |letter: char| !letter.is_control() && !letter.is_whitespace();
    let before_path = text.split(['/', '?', '#']).next().unwrap_or_default();
    let scheme = before_path.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    text.chars().all(is_letter)
        && scheme.is_none_or(|scheme| ["http", "https"].contains(&scheme.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_is_at_a_web_address_or_a_path() {
        for url in
            ["https://a.example/b.png?c#d", "HTTP://a.example", "/uploads/a.png", "a.png", ""]
        {
            assert!(is_url(url), "{url}");
        }
        for other in ["javascript:alert(1)", "data:image/png;base64,AA", "/a b.png", "/a\n.png"] {
            assert!(!is_url(other), "{other}");
        }
    }
}
