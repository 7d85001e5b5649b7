//! Settings of the bridge's client in OpenCRVS: its secrets and its kinds of event.

use std::path::Path;

use secrecy::SecretString;

use crate::config::secret::SecretSource;
use crate::config::setting::Form;
use crate::domain::EventKind;

/// An optional secret. If it comes from a file, the file is read again each time the secret is
/// needed, and may be empty at the start.
pub(in crate::config) struct Renewable;

impl Form for Renewable {
    type Value = Option<SecretSource>;
    const EXPECTED: &'static str = "a text";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Option<SecretSource>, String> {
        Ok((!text.is_empty()).then(|| SecretSource::Value(SecretString::from(text))))
    }

    fn parse_mounted(file: &Path, _text: &str) -> Result<Option<SecretSource>, String> {
        Ok(Some(SecretSource::File(file.to_owned())))
    }
}

/// A list of kinds of event that is not empty.
pub(in crate::config) struct Kinds;

impl Form for Kinds {
    type Value = Vec<EventKind>;
    const EXPECTED: &'static str = "kinds of event such as birth,death";

    fn parse(text: &str) -> Result<Vec<EventKind>, String> {
        let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        // Most of these characters are syntax in a scope of OpenCRVS.
        let is_odd =
            |c: char| c.is_whitespace() || c.is_control() || matches!(c, '&' | '=' | '%' | '+' | '#');
        if names.iter().any(|name| name.contains(is_odd)) {
            return Err("contains a character that no kind of event has".to_owned());
        }
        if names.is_empty() {
            return Err("names no kind of event".to_owned());
        }
        Ok(names.into_iter().map(EventKind::from_name).collect())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::config::secret::SecretFault;

    #[tokio::test]
    async fn a_secret_in_a_file_is_read_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let source = Renewable::parse_mounted(&path, "at the start").unwrap().unwrap();
        assert_eq!(source.read().await.unwrap_err(), SecretFault::Unreadable);
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(source.read().await.unwrap_err(), SecretFault::Empty);
        for secret in ["one", "two"] {
            std::fs::write(&path, format!("{secret}\n")).unwrap();
            assert_eq!(source.read().await.unwrap().expose_secret(), secret);
        }
        assert!(!format!("{:?}", Renewable::parse("hush").unwrap()).contains("hush"));
        assert!(Renewable::parse("").unwrap().is_none());
    }

    #[test]
    fn kinds_are_those_that_a_scope_can_name() {
        let kinds = Kinds::parse("birth, DEATH,tennis-club-membership").unwrap();
        assert_eq!(
            kinds,
            [EventKind::Birth, EventKind::Death, EventKind::Other("tennis-club-membership".to_owned())]
        );
        for wrong in ["", " , ", "birth&type=record.register", "a b", "a=b"] {
            assert!(Kinds::parse(wrong).is_err(), "{wrong}");
        }
    }
}
