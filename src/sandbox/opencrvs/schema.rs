//! The part of the gateway's GraphQL schema that its callers use, and a check of documents against
//! it: the gateway answers HTTP 400 to a document that asks for anything else.
//!
//! Wire source: `opencrvs-fhir.md` §4.1 and §4.5, and the schema of the gateway, v1.7.0–v1.9.15.

mod tokens;

use std::collections::BTreeMap;

use super::errors::ErrorRow;
use tokens::Tokens;

/// An object type, an interface, or a member type of it.
struct Type {
    name: &'static str,
    /// The interface that it implements.
    of: &'static str,
    fields: &'static [Field],
}

struct Field {
    name: &'static str,
    /// The type of its members, or an empty text for a scalar.
    of: &'static str,
    arguments: &'static [Argument],
}

struct Argument {
    name: &'static str,
    /// As the schema writes it.
    of: &'static str,
}

const fn scalar(name: &'static str) -> Field {
    Field { name, of: "", arguments: &[] }
}

const fn object(name: &'static str, of: &'static str) -> Field {
    Field { name, of, arguments: &[] }
}

const fn argument(name: &'static str, of: &'static str) -> Argument {
    Argument { name, of }
}

const ID: &[Argument] = &[argument("id", "ID!")];
const DETAILS: &str = "ConfirmRegistrationInput!";
const SEARCH: &[Argument] = &[
    argument("userId", "String"),
    argument("advancedSearchParameters", "AdvancedSearchParametersInput!"),
    argument("count", "Int"),
    argument("skip", "Int"),
    argument("sort", "String"),
    argument("sortColumn", "String"),
];
const TYPES: &[Type] = &[
    Type {
        name: "Query",
        of: "",
        fields: &[
            Field { name: "fetchRegistration", of: "EventRegistration", arguments: ID },
            Field { name: "searchEvents", of: "EventSearchResultSet", arguments: SEARCH },
        ],
    },
    Type {
        name: "Mutation",
        of: "",
        fields: &[
            Field {
                name: "confirmRegistration",
                of: "",
                arguments: &[argument("id", "ID!"), argument("details", DETAILS)],
            },
            Field {
                name: "rejectRegistration",
                of: "",
                arguments: &[argument("id", "ID!"), argument("details", "RejectRegistrationInput!")],
            },
        ],
    },
    Type {
        name: "EventRegistration",
        of: "",
        fields: &[scalar("id"), object("registration", "Registration"), scalar("createdAt")],
    },
    Type {
        name: "BirthRegistration",
        of: "EventRegistration",
        fields: &[object("child", "Person"), object("mother", "Person"), object("father", "Person")],
    },
    Type {
        name: "DeathRegistration",
        of: "EventRegistration",
        fields: &[
            object("deceased", "Person"),
            object("mother", "Person"),
            object("father", "Person"),
            object("spouse", "Person"),
        ],
    },
    Type {
        name: "MarriageRegistration",
        of: "EventRegistration",
        fields: &[object("bride", "Person"), object("groom", "Person")],
    },
    Type {
        name: "Registration",
        of: "",
        fields: &[
            scalar("id"),
            scalar("draftId"),
            scalar("trackingId"),
            scalar("registrationNumber"),
            scalar("type"),
            object("status", "RegWorkflow"),
        ],
    },
    Type {
        name: "RegWorkflow",
        of: "",
        fields: &[scalar("id"), scalar("type"), scalar("timestamp"), scalar("reason")],
    },
    Type {
        name: "Person",
        of: "",
        fields: &[
            scalar("id"),
            object("identifier", "IdentityType"),
            object("name", "HumanName"),
            scalar("gender"),
            scalar("birthDate"),
            scalar("age"),
            scalar("nationality"),
            object("deceased", "Deceased"),
        ],
    },
    Type { name: "IdentityType", of: "", fields: &[scalar("id"), scalar("type"), scalar("otherType")] },
    Type { name: "HumanName", of: "", fields: &[scalar("use"), scalar("firstNames"), scalar("familyName")] },
    Type { name: "Deceased", of: "", fields: &[scalar("deceased"), scalar("deathDate")] },
    Type {
        name: "EventSearchResultSet",
        of: "",
        fields: &[scalar("totalItems"), object("results", "EventSearchSet")],
    },
    Type {
        name: "EventSearchSet",
        of: "",
        fields: &[scalar("id"), scalar("type"), object("registration", "RegistrationSearchSet")],
    },
    Type {
        name: "RegistrationSearchSet",
        of: "",
        fields: &[scalar("status"), scalar("trackingId"), scalar("registrationNumber"), scalar("modifiedAt")],
    },
];

/// The variables that a document declares, with their types.
type Variables<'a> = BTreeMap<&'a str, String>;

/// Checks a document, and returns the name of its root field.
pub(super) fn validate(document: &str) -> Result<&'static str, ErrorRow> {
    let mut tokens = Tokens::of(document).ok_or(ErrorRow::PARSE_FAILED)?;
    let root = match tokens.peek() {
        Some("mutation") => "Mutation",
        Some("query" | "{") => "Query",
        _ => return Err(ErrorRow::PARSE_FAILED),
    };
    if tokens.peek() != Some("{") {
        tokens.next();
    }
    if tokens.peek().is_some_and(|token| !["(", "{"].contains(&token)) {
        tokens.next();
    }
    let variables = variables(&mut tokens)?;
    let fields = selection(&mut tokens, root, &variables)?;
    if tokens.peek().is_some() {
        return Err(ErrorRow::PARSE_FAILED);
    }
    fields.first().copied().ok_or(ErrorRow::PARSE_FAILED)
}

/// `($id: ID!, $count: Int)`
fn variables<'a>(tokens: &mut Tokens<'a>) -> Result<Variables<'a>, ErrorRow> {
    let mut variables = Variables::new();
    if !tokens.eat("(") {
        return Ok(variables);
    }
    while !tokens.eat(")") {
        let name = tokens.next().filter(|name| name.starts_with('$')).ok_or(ErrorRow::PARSE_FAILED)?;
        if !tokens.eat(":") {
            return Err(ErrorRow::PARSE_FAILED);
        }
        let mut of = String::new();
        while let Some(token) = tokens.peek().filter(|token| !token.starts_with('$') && *token != ")") {
            of.push_str(token);
            tokens.next();
        }
        variables.insert(name, of);
    }
    Ok(variables)
}

/// Reads `{ … }`, and returns the names of the fields in it.
fn selection(
    tokens: &mut Tokens<'_>,
    of: &str,
    variables: &Variables<'_>,
) -> Result<Vec<&'static str>, ErrorRow> {
    if !tokens.eat("{") {
        return Err(ErrorRow::PARSE_FAILED);
    }
    let mut names = Vec::new();
    while !tokens.eat("}") {
        if tokens.eat("...") {
            let on = (tokens.next() == Some("on")).then(|| tokens.next()).flatten();
            let on = on.ok_or(ErrorRow::PARSE_FAILED)?;
            let is_possible = TYPES.iter().any(|one| one.name == on && (one.name == of || one.of == of));
            if !is_possible {
                return Err(ErrorRow::VALIDATION_FAILED);
            }
            names.extend(selection(tokens, on, variables)?);
            continue;
        }
        let mut name = tokens.next().ok_or(ErrorRow::PARSE_FAILED)?;
        if tokens.eat(":") {
            name = tokens.next().ok_or(ErrorRow::PARSE_FAILED)?;
        }
        let field = field(of, name).ok_or(ErrorRow::VALIDATION_FAILED)?;
        arguments(tokens, field, variables)?;
        match (field.of, tokens.peek() == Some("{")) {
            ("", false) => {}
            ("", true) | (_, false) => return Err(ErrorRow::VALIDATION_FAILED),
            (of, true) => drop(selection(tokens, of, variables)?),
        }
        names.push(field.name);
    }
    if names.is_empty() { Err(ErrorRow::PARSE_FAILED) } else { Ok(names) }
}

/// A field of a type, or of the interface that the type implements.
fn field(of: &str, name: &str) -> Option<&'static Field> {
    let found = TYPES.iter().find(|one| one.name == of)?;
    let own = found.fields.iter().find(|field| field.name == name);
    own.or_else(|| field(found.of, name))
}

fn arguments(tokens: &mut Tokens<'_>, field: &Field, variables: &Variables<'_>) -> Result<(), ErrorRow> {
    let mut given = Vec::new();
    if tokens.eat("(") {
        while !tokens.eat(")") {
            let name = tokens.next().ok_or(ErrorRow::PARSE_FAILED)?;
            let known = field.arguments.iter().find(|argument| argument.name == name);
            let known = known.ok_or(ErrorRow::VALIDATION_FAILED)?;
            if !tokens.eat(":") {
                return Err(ErrorRow::PARSE_FAILED);
            }
            value(tokens, known, variables)?;
            given.push(known.name);
        }
    }
    let missing = |argument: &&Argument| argument.of.ends_with('!') && !given.contains(&argument.name);
    if field.arguments.iter().any(|argument| missing(&argument)) {
        return Err(ErrorRow::VALIDATION_FAILED);
    }
    Ok(())
}

/// Reads a value. A variable has to be declared with the argument's type; of literals, only the
/// brackets are checked.
fn value(tokens: &mut Tokens<'_>, of: &Argument, variables: &Variables<'_>) -> Result<(), ErrorRow> {
    let first = tokens.next().ok_or(ErrorRow::PARSE_FAILED)?;
    if first.starts_with('$') {
        let declared = variables.get(first).ok_or(ErrorRow::VALIDATION_FAILED)?;
        let fits = declared == of.of || declared.strip_suffix('!') == Some(of.of);
        return if fits { Ok(()) } else { Err(ErrorRow::VALIDATION_FAILED) };
    }
    let mut depth = i32::from(["{", "["].contains(&first));
    while depth > 0 {
        match tokens.next().ok_or(ErrorRow::PARSE_FAILED)? {
            "{" | "[" => depth += 1,
            "}" | "]" => depth -= 1,
            name if name.starts_with('$') && !variables.contains_key(name) => {
                return Err(ErrorRow::VALIDATION_FAILED);
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_may_ask_for_what_the_schema_has_and_for_nothing_else() {
        let fetch = |fields: &str| {
            validate(&format!("query ($id: ID!) {{ fetchRegistration(id: $id) {{ {fields} }} }}"))
        };
        for fields in [
            "id",
            "id registration { status { type timestamp } }",
            "... on BirthRegistration { id child { name { firstNames familyName } birthDate } }",
            "registration { number: registrationNumber }",
        ] {
            assert_eq!(fetch(fields), Ok("fetchRegistration"), "{fields}");
        }
        for fields in [
            "registrationNumber",
            "registration",
            "id { x }",
            "child { birthDate }",
            "registration { number }",
            "... on Person { id }",
            "... on DeathRegistration { child { birthDate } }",
            "... on BirthRegistration { child { name { given } } }",
        ] {
            assert_eq!(fetch(fields), Err(ErrorRow::VALIDATION_FAILED), "{fields}");
        }
    }

    #[test]
    fn arguments_are_those_of_the_schema() {
        let failed = Err(ErrorRow::VALIDATION_FAILED);
        assert_eq!(validate("query { fetchRegistration { id } }"), failed);
        assert_eq!(validate("query ($id: String!) { fetchRegistration(id: $id) { id } }"), failed);
        assert_eq!(validate("query { fetchRegistration(id: $id) { id } }"), failed);
        assert_eq!(validate("query ($id: ID!) { fetchRegistration(id: $id, of: 1) { id } }"), failed);
        let confirm = "mutation named($id: ID!, $details: ConfirmRegistrationInput!) { confirmRegistration(id: $id, details: $details) }";
        assert_eq!(validate(confirm), Ok("confirmRegistration"));
        let list = r#"query { searchEvents(advancedSearchParameters: { registrationStatuses: ["A"] }, count: 5) { totalItems } }"#;
        assert_eq!(validate(list), Ok("searchEvents"));
    }

    #[test]
    fn what_is_no_document_is_a_syntax_error() {
        for text in [
            "",
            "query",
            "query {",
            "{ }",
            "subscription { a }",
            "query { fetchRegistration(id: \"1\") { id } } }",
        ] {
            assert_eq!(validate(text), Err(ErrorRow::PARSE_FAILED), "{text}");
        }
    }
}
