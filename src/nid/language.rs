//! The language of a name: OpenCRVS writes the two-letter code of ISO 639-1, the contract wants the
//! three-letter code of ISO 639-3.
//!
//! Source of the codes: the crate `isolang`, which is generated from the tables of SIL, the
//! registration authority of ISO 639-3.

use isolang::Language;

/// Values of `HumanName.use` in FHIR that look like a language code and are none here.
const NO_LANGUAGE: [&str; 1] = ["old"];

/// The three-letter code of a language tag such as `bn`, `ben`, `pt-BR` or `EN`, or `None` if it
/// names no language.
pub(super) fn three_letters(tag: &str) -> Option<&'static str> {
    let code = tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    if NO_LANGUAGE.contains(&code.as_str()) {
        return None;
    }
    let language = match code.len() {
        2 => Language::from_639_1(&code),
        3 => Language::from_639_3(&code),
        _ => None,
    };
    language.map(|language| language.to_639_3())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_gets_its_three_letters() {
        for (tag, code) in [
            ("en", Some("eng")),
            ("EN", Some("eng")),
            ("fr", Some("fra")),
            ("bn", Some("ben")),
            ("ta", Some("tam")),
            ("si", Some("sin")),
            ("am", Some("amh")),
            ("ar", Some("ara")),
            ("sw", Some("swa")),
            ("km", Some("khm")),
            ("lo", Some("lao")),
            ("my", Some("mya")),
            ("ne", Some("nep")),
            ("mg", Some("mlg")),
            ("rw", Some("kin")),
            ("so", Some("som")),
            ("zh", Some("zho")),
            ("pt-BR", Some("por")),
            ("en_GB", Some("eng")),
            ("fas", Some("fas")),
            ("official", None),
            ("old", None),
            ("xx", None),
            ("", None),
        ] {
            assert_eq!(three_letters(tag), code, "{tag}");
        }
    }
}
