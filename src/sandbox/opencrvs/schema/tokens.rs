//! Splits a GraphQL document into its tokens.

use std::iter::Peekable;
use std::vec::IntoIter;

/// The tokens of a document: names, `$variables`, numbers, quoted texts, `...`, and single
/// characters. Commas have no meaning in GraphQL and are left out.
pub(super) struct Tokens<'a>(Peekable<IntoIter<&'a str>>);

impl<'a> Tokens<'a> {
    /// Returns `None` if a text is not closed, or for a character that GraphQL does not have.
    pub(super) fn of(document: &'a str) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut rest = document.trim_start_matches(is_ignored);
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '"' => rest.get(1..)?.find('"')? + 2,
                '.' => rest.starts_with("...").then_some(3)?,
                '{' | '}' | '(' | ')' | '[' | ']' | ':' | '!' | '=' => 1,
                '$' | '-' => 1 + word(rest.get(1..)?),
                first if is_word(first) => word(rest),
                _ => return None,
            };
            tokens.push(rest.get(..length)?);
            rest = rest.get(length..)?.trim_start_matches(is_ignored);
        }
        Some(Self(tokens.into_iter().peekable()))
    }

    pub(super) fn peek(&mut self) -> Option<&'a str> {
        self.0.peek().copied()
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    pub(super) fn eat(&mut self, token: &str) -> bool {
        self.0.next_if(|next| *next == token).is_some()
    }
}

fn is_ignored(c: char) -> bool {
    c.is_whitespace() || c == ','
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn word(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}
