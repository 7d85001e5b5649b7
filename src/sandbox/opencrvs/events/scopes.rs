//! Scopes of a token: `type=record.read&event=birth,death` in 2.x, `record.read` or
//! `record.read[event=birth|death]` in 1.9.

/// What the scopes of one type grant together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    /// The kinds of event. `None`: all of them.
    kinds: Option<Vec<String>>,
}

impl Grant {
    /// What the scopes of this type grant, or `None` if there are none.
    pub(super) fn of(scopes: &[String], wanted: &str) -> Option<Self> {
        let mut granted: Option<Self> = None;
        for kinds in scopes.iter().filter_map(|scope| kinds_of(scope, wanted)) {
            granted = Some(match (granted, kinds) {
                (None, kinds) => Self { kinds },
                (Some(Self { kinds: Some(mut so_far) }), Some(more)) => {
                    so_far.extend(more);
                    Self { kinds: Some(so_far) }
                }
                (Some(_), _) => Self { kinds: None },
            });
        }
        granted
    }

    pub(super) fn covers(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|one| one == kind))
    }
}

/// The kinds of event of a scope of the wanted type, or `None` if the scope has another type.
fn kinds_of(scope: &str, wanted: &str) -> Option<Option<Vec<String>>> {
    let list = |text: &str, separator| text.split(separator).map(str::to_owned).collect();
    if let Some((kind, options)) = scope.strip_suffix(']').and_then(|scope| scope.split_once('[')) {
        return (kind == wanted).then(|| options.strip_prefix("event=").map(|kinds| list(kinds, '|')));
    }
    if !scope.starts_with("type=") {
        return (scope == wanted).then_some(None);
    }
    let mut options = scope.split('&');
    let is_wanted = options.next().and_then(|kind| kind.strip_prefix("type=")) == Some(wanted);
    is_wanted.then(|| options.find_map(|option| option.strip_prefix("event=")).map(|kinds| list(kinds, ',')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_read_in_the_form_of_either_generation() {
        for (scope, birth, death) in [
            ("record.read", true, true),
            ("type=record.read", true, true),
            ("type=record.read&event=birth", true, false),
            ("type=record.read&placeOfEvent=all&event=birth,death", true, true),
            ("record.read[event=birth|marriage]", true, false),
        ] {
            let grant = Grant::of(&[scope.to_owned()], "record.read").unwrap();
            assert_eq!((grant.covers("birth"), grant.covers("death")), (birth, death), "{scope}");
        }
        for other in ["record.register", "type=record.readers", "type=record.rea&event=birth", ""] {
            assert_eq!(Grant::of(&[other.to_owned()], "record.read"), None, "{other}");
        }
        let both = ["type=record.read&event=birth".to_owned(), "type=record.read&event=death".to_owned()];
        assert!(Grant::of(&both, "record.read").unwrap().covers("death"));
    }
}
