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
    fn of(text: &str) -> Self {
        let (mut segments, mut has_dots) = (Vec::new(), false);
        // Some servers take a backslash for a slash, and what follows a semicolon for a parameter.
        for segment in text.split(['/', '\\']) {
            // Some servers trim a name.
            let is_blank = |letter: char| letter.is_whitespace() || letter.is_control();
            match segment.split(';').next().unwrap_or_default().trim_matches(is_blank) {
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
    readings(path).any(|reading| reading.is_ours())
}

/// Whether a path has segments `.` or `..` in any spelling.
pub(super) fn has_dot_segments(path: &str) -> bool {
    readings(path).any(|reading| reading.has_dots)
}

/// What the path means to different servers. To some, one of these letters ends it.
fn readings(path: &str) -> impl Iterator<Item = Canonical> {
    let text = decoded(path);
    let ends = ['?', '#', '\0', '\r', '\n', ' '].map(|end| text.find(end)).into_iter().flatten();
    let readings: Vec<_> =
        ends.chain([text.len()]).filter_map(|end| Some(Canonical::of(text.get(..end)?))).collect();
    readings.into_iter()
}

/// The path with each percent-encoded byte decoded until none is left. What is not valid stays.
fn decoded(path: &str) -> String {
    let mut text = path.as_bytes().to_vec();
    for _ in 0..DECODED_AT_MOST {
        let decoded: Vec<u8> = percent_encoding::percent_decode(&text).collect();
        if decoded == text {
            break;
        }
        text = decoded;
    }
    String::from_utf8_lossy(&text).into_owned()
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
            "/event-registration%00.html",
            "/event-registration%3Fa=b",
            "/event-registration%23top",
            "/event-registration%2523%3F/x",
            "/event-registration%20",
            "/event-registration%0D%0AX:%20y",
            "/%09event-registration",
            "/trigger/events/birth/actions/REGISTER%00",
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
            "/event-registrations%3F/event-registration",
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
        for dots in
            ["/..", "/a/../b", "/a/.", "/%2e%2E/b", "/%252e./b", "/a\\..\\b", "/..;x/b", "/..%3Fx", "/..%20"]
        {
            assert!(has_dot_segments(dots), "{dots}");
        }
        for none in ["/...", "/.well-known", "/a..b", "/a/b.", "/", "/%2ea"] {
            assert!(!has_dot_segments(none), "{none}");
        }
    }
}
