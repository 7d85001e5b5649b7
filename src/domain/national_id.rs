//! An ID that a National ID system issued, in the form that is stored, written to OpenCRVS and
//! compared.
//!
//! Invariant: two spellings of one ID have one [`NationalId::folded`] form. An ID is personal data:
//! `Debug` hides it, and there is no `Display`.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

use super::digits::ascii_digit;
use super::ids::UnusableId;

/// Limit of the contract, in characters.
const MOST: usize = 64;

/// An ID without control characters, format characters (Unicode general category Cf) and
/// surrounding white space.
#[derive(Clone)]
pub struct NationalId {
    cleaned: String,
    /// The ID as the ID system spelt it. Earlier releases took the fingerprint of this form.
    given: String,
}

impl NationalId {
    /// Checks and cleans an ID, by the same rules as `national_id` in `reply.v1.json`.
    ///
    /// # Errors
    /// [`UnusableId`] when it is empty, longer than 64 characters, begins or ends with white space,
    /// or has a control or format character.
    pub fn parse(text: &str) -> Result<Self, UnusableId> {
        let is_usable = (1..=MOST).contains(&text.chars().take(MOST + 1).count())
            && !text.chars().any(is_unusable)
            && !text.starts_with(is_space)
            && !text.ends_with(is_space);
        if !is_usable {
            return Err(UnusableId::national_id(MOST));
        }
        let cleaned: String = text.chars().filter(|c| !is_astral_format(*c)).map(plain).collect();
        let cleaned = cleaned.trim();
        let cleaned = if cleaned.is_empty() { text } else { cleaned };
        Ok(Self { cleaned: cleaned.to_owned(), given: text.to_owned() })
    }

    /// Reads an ID that somebody typed into a form. Invisible characters are left out.
    ///
    /// # Errors
    /// [`UnusableId`] when nothing is left, or more than 64 characters are.
    pub fn from_form(text: &str) -> Result<Self, UnusableId> {
        let visible: String = text.chars().filter(|c| !is_unusable(*c)).collect();
        Self::parse(visible.trim_matches(is_space))
    }

    /// The ID in clear text, with its digits, hyphens and blanks in ASCII. Used only to seal it and
    /// to send it to OpenCRVS or the ID system.
    pub fn expose(&self) -> &str {
        &self.cleaned
    }

    /// The form for comparison: only the letters and digits, in compatibility form (NFKC), with
    /// ASCII digits. An ID without any letter or digit is compared as it is.
    pub fn folded(&self) -> String {
        let folded: String = self.cleaned.nfkc().map(ascii_digit).filter(|c| c.is_alphanumeric()).collect();
        if folded.is_empty() { self.cleaned.clone() } else { folded }
    }

    /// The spellings from which earlier releases took the fingerprint of this ID.
    pub fn earlier_forms(&self) -> [&str; 2] {
        [&self.given, &self.cleaned]
    }
}

impl PartialEq for NationalId {
    fn eq(&self, other: &Self) -> bool {
        self.folded() == other.folded()
    }
}

impl Eq for NationalId {}

impl fmt::Debug for NationalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NationalId(hidden)")
    }
}

/// Whether the character may not be in an ID: a control character, a format character, or a line or
/// paragraph separator. Format characters beyond U+FFFF are not refused, because many validators of
/// JSON Schema cannot name them; an ID is cleaned of them.
///
/// Source: `UnicodeData.txt` of Unicode 15.1, general categories Cc, Cf, Zl and Zp.
fn is_unusable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Whether the character is invisible: white space, control and format characters, and the fillers
/// and selectors of other categories.
///
/// Source: `DerivedCoreProperties.txt` of Unicode 15.1, `Default_Ignorable_Code_Point`; U+2800 is
/// the empty Braille pattern.
pub fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || is_unusable(c)
        || is_astral_format(c)
        || matches!(c, '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{2065}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Whether the character is a format character beyond U+FFFF.
fn is_astral_format(c: char) -> bool {
    matches!(c,
        '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

/// Whether the character is a blank of any width (general category Zs).
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// Converts digits, blanks, hyphens and full-width characters to ASCII.
fn plain(c: char) -> char {
    match c {
        _ if is_space(c) => ' ',
        '\u{58a}' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' => '-',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        _ => ascii_digit(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<NationalId> {
        NationalId::parse(text).ok()
    }

    #[test]
    fn each_spelling_of_an_id_equals_the_id_or_is_refused() {
        let plain = parsed("3260054197").unwrap();
        for text in [
            "3260 054 197",
            "3260\u{a0}054\u{a0}197",
            "3260-054-197",
            "3260\u{2011}054\u{2011}197",
            "3260\u{2013}054197",
            "٣٢٦٠٠٥٤١٩٧",
            "۳۲۶۰۰۵۴۱۹۷",
            "৩২৬০০৫৪১৯৭",
            "３２６００５４１９７",
            "3260.054.197",
            "3260/054/197",
            "3260_054_197",
            "3260\u{3000}054197",
            "3260\u{202f}054197",
            "3260054197\u{fe0f}",
            "326005419\u{1d7d5}",
            "(3260)054197",
            "3260\u{b7}054197",
            "3260054197\u{e0020}",
        ] {
            assert_eq!(parsed(text), Some(plain.clone()), "{text:?}");
        }
        for text in [
            " 3260054197",
            "3260054197 ",
            "3260054197\u{a0}",
            "\u{feff}3260054197",
            "3260\u{200b}054197",
            "3260\u{ad}054197",
            "3260054197\n",
            "3260\t054197",
            "\u{200e}3260054197",
            "\u{202a}3260054197\u{202c}",
            "3260\u{2060}054197",
            "3260\u{61c}054197",
            "\u{3000}3260054197",
            "3260054197\u{2028}",
            "3260054197\u{85}",
            "",
            " ",
            "\u{a0}",
            "\u{200b}",
        ] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
        for text in ["3260054198", "326005419", "A3260054197", "3260054197A"] {
            assert_ne!(parsed(text), Some(plain.clone()), "{text:?}");
        }
        assert_ne!(parsed("ab12"), parsed("AB12"), "an ID of letters may be a token, in which case counts");
    }

    #[test]
    fn an_id_is_written_in_ascii_and_read_back_unchanged() {
        for (text, written) in [
            ("٣٢٦٠", "3260"),
            ("3260\u{a0}05\u{2011}41", "3260 05-41"),
            ("ＡＢ１２", "AB12"),
            ("ID-07/a", "ID-07/a"),
            ("\u{e0001} 7", "7"),
            ("---", "---"),
            ("\u{e0001}", "\u{e0001}"),
        ] {
            let id = parsed(text).unwrap();
            assert_eq!(id.expose(), written, "{text:?}");
            let again = parsed(id.expose()).unwrap();
            assert_eq!((again.expose(), again.folded()), (written, id.folded()), "{text:?}");
        }
        assert_eq!(parsed(&"9".repeat(64)).unwrap().expose().len(), 64);
        assert_eq!(parsed(&"9".repeat(65)), None);
        assert!(parsed(&"٩".repeat(64)).is_some(), "characters are counted, not bytes");
    }

    #[test]
    fn invisible_characters_are_left_out_of_a_typed_id() {
        for text in ["\u{feff}12\u{200b}34\u{ad} ", "1234", "\t1234\n", "\u{200e}١٢٣٤"] {
            assert_eq!(NationalId::from_form(text).unwrap().expose(), "1234", "{text:?}");
        }
        assert!(NationalId::from_form("\u{200b} ").is_err());
        assert_eq!(format!("{:?}", parsed("1234567890").unwrap()), "NationalId(hidden)");
    }

    #[test]
    fn the_fingerprints_of_earlier_releases_were_of_the_id_as_given_and_as_cleaned() {
        assert_eq!(parsed("٣٢-\u{a0}٦٠").unwrap().earlier_forms(), ["٣٢-\u{a0}٦٠", "32- 60"]);
    }
}
