//! How a setting is declared: once, for the loader, `config show` and `config reference` alike.

use std::path::Path;

/// The declaration of one setting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// The dotted key in the TOML file.
    pub key: &'static str,
    /// Names of environment variables: the first one is documented, the others are aliases.
    pub env: &'static [&'static str],
    /// An empty text means that the setting has no default.
    pub default: &'static str,
    /// The description for the reference.
    pub doc: &'static str,
    pub expected: &'static str,
    pub secret: bool,
    /// Masks what is secret in a value.
    pub show: fn(&str) -> String,
}

impl Setting {
    /// The documented environment variable.
    pub(super) fn variable(&self) -> &'static str {
        self.env.first().copied().unwrap_or(self.key)
    }
}

/// How the text of a setting is read and shown.
pub(super) trait Form {
    type Value;
    /// What a value looks like, for messages: "a duration such as 5s".
    const EXPECTED: &'static str;
    /// Whether values are secret.
    const SECRET: bool = false;

    /// # Errors
    /// The error says what is wrong, without the text itself.
    fn parse(text: &str) -> Result<Self::Value, String>;

    /// Reads a value from a mounted file (`NAME_FILE`) that contains `text`.
    ///
    /// # Errors
    /// The same as for [`Form::parse`].
    fn parse_mounted(_file: &Path, text: &str) -> Result<Self::Value, String> {
        Self::parse(text)
    }

    /// The text with its secrets masked.
    fn show(text: &str) -> String {
        if Self::SECRET { "(set)".to_owned() } else { text.to_owned() }
    }
}

/// Declares a struct of settings: `field: type, form, default, [environment names];`.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident in $section:literal {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $ty:ty, $form:ty, $default:expr, [$($env:literal),+];
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $ty, )+
        }

        impl $name {
            pub(in crate::config) const SETTINGS: &'static [$crate::config::setting::Setting] = &[
                $( $crate::config::setting::Setting {
                    key: concat!($section, ".", stringify!($field)),
                    env: &[$($env),+],
                    default: $default,
                    doc: concat!($($doc),+),
                    expected: <$form as $crate::config::setting::Form>::EXPECTED,
                    secret: <$form as $crate::config::setting::Form>::SECRET,
                    show: <$form as $crate::config::setting::Form>::show,
                }, )+
            ];

            /// Reads every field even after a fault, so that all faults are found.
            pub(in crate::config) fn read(reader: &mut $crate::config::reader::Reader<'_>) -> Option<Self> {
                let mut settings = Self::SETTINGS.iter();
                $( let $field = settings.next().and_then(|setting| reader.value::<$form>(setting)); )+
                Some(Self { $($field: $field?),+ })
            }
        }
    };
}

pub(in crate::config) use settings;
