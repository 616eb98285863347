//! E-mail addresses: the exact form identifies, the folded one only suggests.

use super::text;

/// Maximum length in bytes of an address, and of its local part (RFC 5321, section 4.5.3.1).
const MOST: usize = 254;
const MOST_LOCAL: usize = 64;
/// Hosts that ignore dots in the local part.
const DOTLESS: [&str; 2] = ["gmail.com", "googlemail.com"];

/// An e-mail address in lower case, with its domain in ASCII form as in DNS; `None` if the text is not
/// exactly one address.
pub fn email(value: &str) -> Option<String> {
    let value = text(value)?;
    let value = value.strip_prefix("mailto:").unwrap_or(&value);
    let value = match (value.strip_prefix('<'), value.strip_suffix('>')) {
        (Some(_), Some(_)) => &value[1..value.len() - 1],
        _ => value,
    };
    let (local, domain) = value.split_once('@')?;
    let is_plain = |one: char| !one.is_whitespace() && !",;:<>()[]\\\"@".contains(one);
    let is_local = !local.is_empty()
        && local.len() <= MOST_LOCAL
        && local.chars().all(is_plain)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..");
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if !is_local || !domain.contains('.') || !domain.chars().all(is_plain) {
        return None;
    }
    let domain = idna::domain_to_ascii_strict(domain).ok()?;
    let address = format!("{local}@{domain}");
    (address.len() <= MOST).then_some(address)
}

/// An exact address without the parts that its host ignores: what follows a `+`, and dots at Gmail. Two
/// addresses that fold to the same one are probably of one person, but not certainly.
pub fn folded(exact: &str) -> String {
    let Some((local, domain)) = exact.split_once('@') else {
        return exact.to_owned();
    };
    let local = local.split_once('+').map_or(local, |(local, _)| local);
    if DOTLESS.contains(&domain) {
        return format!("{}@gmail.com", local.replace('.', ""));
    }
    format!("{local}@{domain}")
}

#[cfg(test)]
mod tests {
    use super::{email, folded};

    #[test]
    fn email_addresses_have_one_normal_form() {
        for (value, form) in [
            (" Ann@Example.COM ", "ann@example.com"),
            ("ann@example.com\r\n", "ann@example.com"),
            ("ann\u{200b}@example.com", "ann@example.com"),
            ("<ann@example.com>", "ann@example.com"),
            ("mailto:ann@example.com", "ann@example.com"),
            ("ａnn@example.com", "ann@example.com"),
            ("ann@bücher.de", "ann@xn--bcher-kva.de"),
            ("ann@BÜCHER.de", "ann@xn--bcher-kva.de"),
            ("ann@straße.de", "ann@xn--strae-oqa.de"),
            ("strauß@example.com", "strauß@example.com"),
            ("ann@example.com.", "ann@example.com"),
            ("o'neil+shop@example.co.uk", "o'neil+shop@example.co.uk"),
        ] {
            assert_eq!(email(value).as_deref(), Some(form), "{value:?}");
        }
    }

    #[test]
    fn invalid_email_addresses_identify_nobody() {
        for value in [
            "",
            "null",
            "N/A",
            "ann",
            "ann@",
            "@example.com",
            "ann@localhost",
            "ann@exa mple.com",
            "ann@example.com, bob@example.com",
            "ann@example.com;bob@example.com",
            "ann@example.com bob@example.com",
            "ann@@example.com",
            "a..b@example.com",
            ".ann@example.com",
            "ann@.example.com",
            "ann@example..com",
            "ann@-example.com",
        ] {
            assert_eq!(email(value), None, "{value:?}");
        }
        assert_eq!(email(&format!("{}@example.com", "a".repeat(65))), None);
        assert_eq!(email(&format!("ann@{}.com", "a.".repeat(200))), None);
    }

    #[test]
    fn look_alike_addresses_stay_different() {
        // A Cyrillic а, in the name and in the domain.
        assert_ne!(email("\u{430}nn@example.com"), email("ann@example.com"));
        let domain = email("ann@ex\u{430}mple.com").unwrap();
        assert!(domain.starts_with("ann@xn--"), "{domain}");
        // A dotless i and a dotted one.
        assert_ne!(email("İ@example.com"), email("i@example.com"));
    }

    #[test]
    fn folding_only_removes_characters() {
        assert_eq!(folded("a.n.n+x@googlemail.com"), "ann@gmail.com");
        assert_eq!(folded("a.n.n+x@example.com"), "a.n.n@example.com");
        assert_eq!(folded("ann@gmail.com"), "ann@gmail.com");
    }
}
