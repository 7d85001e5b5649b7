//! Converts the decimal digits of every script to ASCII.

/// The code point of the digit zero in each script that has decimal digits. The digits 1 to 9
/// follow it.
///
/// Source: `UnicodeData.txt` of Unicode 15.1, general category Nd.
const ZEROS: [u32; 68] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50,
    0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40,
    0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066,
    0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950,
    0x11c50, 0x11d50, 0x11da0, 0x11f50, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec,
    0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e950, 0x1fbf0,
];

/// Converts a decimal digit of any script to ASCII, and returns every other character unchanged.
pub(super) fn ascii_digit(c: char) -> char {
    let code = u32::from(c);
    let digit = ZEROS.into_iter().rev().find(|zero| *zero <= code).map(|zero| code - zero);
    digit.filter(|_| c.is_numeric()).and_then(|digit| char::from_digit(digit, 10)).unwrap_or(c)
}

/// Converts the decimal digits in a text to ASCII.
pub fn ascii_digits(text: &str) -> String {
    text.chars().map(ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_every_script_are_read_and_nothing_else_changes() {
        for text in [
            "٠١٢٣٤٥٦٧٨٩",
            "۰۱۲۳۴۵۶۷۸۹",
            "०१२३४५६७८९",
            "০১২৩৪৫৬৭৮৯",
            "၀၁၂၃၄၅၆၇၈၉",
            "០១២៣៤៥៦៧៨៩",
            "๐๑๒๓๔๕๖๗๘๙",
            "０１２３４５６７８９",
        ] {
            assert_eq!(ascii_digits(text), "0123456789", "{text}");
        }
        for text in ["Ada-7", "½", "²", "Ⅳ", "௰", "።", ""] {
            assert_eq!(ascii_digits(text), text);
        }
    }
}
