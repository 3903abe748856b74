//! The one spelling of a phone number: `+` and digits.

/// Digits that are left of a hidden phone.
const SHOWN_DIGITS: usize = 4;

/// Brings a phone number into its stored form: every character but ASCII digits goes, a `+` leads. A
/// text without digits becomes the empty text; nothing is checked.
#[must_use]
pub fn normalise(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() {
        return digits;
    }
    format!("+{digits}")
}

/// Hides a phone number but for its end, for who may not know it where it stands for a name.
#[must_use]
pub fn hidden(phone: &str) -> String {
    let end = phone.len().saturating_sub(SHOWN_DIGITS);
    format!("…{}", phone.get(end..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hidden_phone_the_end_is_left() {
        for (phone, left) in [("+15550000001", "…0001"), ("+1", "…+1"), ("", "…")] {
            assert_eq!(hidden(phone), left, "{phone}");
        }
    }

    #[test]
    fn every_spelling_of_a_phone_becomes_the_same() {
        for text in ["+15550000001", "15550000001", "1 (555) 000-0001", " +1.555.000.0001\n"] {
            assert_eq!(normalise(text), "+15550000001", "{text}");
        }
    }

    #[test]
    fn text_without_ascii_digits_becomes_empty() {
        for text in ["", "+", "phone", "٠١٢٣٤٥٦٧٨٩"] {
            assert_eq!(normalise(text), "", "{text}");
        }
    }
}
