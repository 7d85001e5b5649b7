//! Paths that are not written as the front's own, but that a server behind the front could read as
//! one of them.
//!
//! Invariant: no spelling of a registration's path gets past the front to the country's
//! configuration service, and no path leaves the base path of that service.

/// What a path means to a server that decodes it, perhaps more than once, and resolves empty and dot
/// segments.
struct Canonical {
    segments: Vec<String>,
    has_dots: bool,
}

/// Servers that decode a path more often than this are not known.
const DECODED_AT_MOST: usize = 4;

impl Canonical {
    fn of(path: &str) -> Self {
        let mut text = path.as_bytes().to_vec();
        for _ in 0..DECODED_AT_MOST {
            let decoded = decode(&text);
            if decoded == text {
                break;
            }
            text = decoded;
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        let (mut segments, mut has_dots) = (Vec::new(), false);
        // Some servers take a backslash for a slash, and what follows a semicolon for a parameter.
        for segment in text.split(['/', '\\']) {
            match segment.split(';').next().unwrap_or_default() {
                "" => {}
                "." => has_dots = true,
                ".." => {
                    has_dots = true;
                    segments.pop();
                }
                name => segments.push(name.to_ascii_lowercase()),
            }
        }
        Self { segments, has_dots }
    }

    fn is_ours(&self) -> bool {
        let segments: Vec<&str> = self.segments.iter().map(String::as_str).collect();
        matches!(
            segments.as_slice(),
            ["event-registration"]
                | ["trigger", "events", _, "actions", "register"]
                | ["trigger" | "triggers", "system", "ready"]
        )
    }
}

/// Whether a path is written as the router reads it.
pub(super) fn is_plain(path: &str) -> bool {
    let is_name = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        !name.is_empty() && name.bytes().all(plain)
    };
    match path.strip_prefix('/').unwrap_or_default().split('/').collect::<Vec<_>>().as_slice() {
        ["event-registration"] | ["trigger" | "triggers", "system", "ready"] => true,
        ["trigger", "events", event, "actions", action] => is_name(event) && is_name(action),
        _ => false,
    }
}

/// Whether some server could read a path as one of ours.
pub(super) fn means_ours(path: &str) -> bool {
    Canonical::of(path).is_ours()
}

/// Whether a path has segments `.` or `..` in any spelling.
pub(super) fn has_dot_segments(path: &str) -> bool {
    Canonical::of(path).has_dots
}

/// Decodes percent-encoded bytes. What is not valid stays.
fn decode(text: &[u8]) -> Vec<u8> {
    percent_encoding::percent_decode(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_of_our_paths_is_known() {
        for path in [
            "/event-registration",
            "//event-registration",
            "/event-registration/",
            "/event%2Dregistration",
            "/event%252dregistration",
            "/%65vent-registration",
            "/x/../event-registration",
            "/x/%2e%2e/event-registration",
            "/./event-registration",
            "\\event-registration",
            "/Event-Registration",
            "/event-registration;jsessionid=1",
            "/event-registration%2f",
            "/trigger//events/birth/actions/REGISTER",
            "/trigger/events/birth/actions/regis%74er",
            "/trigger/events/birth/actions/DECLARE/../REGISTER",
            "/triggers/system/ready/",
        ] {
            assert!(means_ours(path), "{path}");
        }
    }

    #[test]
    fn only_the_routers_own_spelling_is_plain() {
        for plain in
            ["/event-registration", "/trigger/events/v2.birth/actions/REGISTER", "/trigger/system/ready"]
        {
            assert!(means_ours(plain) && is_plain(plain), "{plain}");
        }
        for other in
            ["/event-registration/", "//event-registration", "/trigger/events/%62irth/actions/REGISTER"]
        {
            assert!(means_ours(other) && !is_plain(other), "{other}");
        }
    }

    #[test]
    fn a_path_of_the_country_is_not_ours() {
        for path in [
            "/",
            "/event-registration/x",
            "/x/event-registration",
            "/event-registrations",
            "/trigger/events/birth/actions/DECLARE",
            "/trigger/events/birth/actions",
            "/certificates/event%20registration",
            "/%zz",
            "/%ff%fe",
        ] {
            assert!(!means_ours(path), "{path}");
        }
    }

    #[test]
    fn dots_are_segments_only_when_they_are_alone() {
        for dots in ["/..", "/a/../b", "/a/.", "/%2e%2E/b", "/%252e./b", "/a\\..\\b", "/..;x/b"] {
            assert!(has_dot_segments(dots), "{dots}");
        }
        for none in ["/...", "/.well-known", "/a..b", "/a/b.", "/", "/%2ea"] {
            assert!(!has_dot_segments(none), "{none}");
        }
    }
}
