//! Why the ID system is not asked about a registration, for the metric.

use crate::domain::{EventKind, Role, View};

/// The value of the label `cause`: `event` (the ID system has nothing to do with this kind),
/// `other_id` (the deceased has identifiers, but none of the type under which the country keeps the
/// national ID), `no_id` or `no_person`.
pub fn why_not_asked(kind: &EventKind, view: &View) -> &'static str {
    match kind {
        EventKind::Death => match view.person(Role::Deceased) {
            Some(person) if person.identifiers.is_empty() => "no_id",
            Some(_) => "other_id",
            None => "no_person",
        },
        EventKind::Birth | EventKind::Marriage | EventKind::Other(_) => "event",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Person;

    #[test]
    fn an_id_of_another_type_is_told_apart_from_none() {
        let mut view = View::default();
        let why = |view: &View| why_not_asked(&EventKind::Death, view);
        assert_eq!(why(&view), "no_person");
        view.persons.insert(Role::Deceased, Person::default());
        assert_eq!(why(&view), "no_id");
        let passport = [("PASSPORT".to_owned(), "P1".to_owned())].into();
        view.persons.insert(Role::Deceased, Person { identifiers: passport, ..Person::default() });
        assert_eq!(why(&view), "other_id");
        assert_eq!(why_not_asked(&EventKind::Marriage, &view), "event");
    }
}
