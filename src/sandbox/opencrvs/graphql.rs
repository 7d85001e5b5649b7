//! GraphQL documents as the gateway takes them: it answers HTTP 400 to a document that asks for
//! anything that its schema does not have, and a good document with what it selects.

use graphql_parser::query::{
    Definition, Field, OperationDefinition, Selection, SelectionSet, TypeCondition, Value as Literal,
    VariableDefinition, parse_query,
};
use graphql_parser::schema::{self, InputValue, Type, TypeDefinition, parse_schema};
use serde_json::{Map, Value};

use super::errors::ErrorRow;

const SCHEMA: &str = include_str!("schema.graphql");
/// The type that every kind of registration implements.
const INTERFACE: &str = "EventRegistration";

/// What a document asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Confirm,
    Reject,
    Fetch,
    Search,
}

impl Operation {
    const ALL: [Self; 4] = [Self::Confirm, Self::Reject, Self::Fetch, Self::Search];

    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Confirm => "confirmRegistration",
            Self::Reject => "rejectRegistration",
            Self::Fetch => "fetchRegistration",
            Self::Search => "searchEvents",
        }
    }
}

/// A document that follows the schema, with its variables.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) operation: Operation,
    field: Field<'static, String>,
    variables: Value,
}

impl Document {
    /// Reads a document with one operation and one root field.
    pub(super) fn read(text: &str, variables: Value) -> Result<Self, ErrorRow> {
        let parsed = parse_query::<String>(text).map_err(|_| ErrorRow::PARSE_FAILED)?.into_static();
        let mut definitions = parsed.definitions.into_iter();
        let (Some(Definition::Operation(operation)), None) = (definitions.next(), definitions.next()) else {
            return Err(ErrorRow::PARSE_FAILED);
        };
        let (root, declared, set) = match operation {
            OperationDefinition::SelectionSet(set) => ("Query", Vec::new(), set),
            OperationDefinition::Query(query) => ("Query", query.variable_definitions, query.selection_set),
            OperationDefinition::Mutation(it) => ("Mutation", it.variable_definitions, it.selection_set),
            OperationDefinition::Subscription(_) => return Err(ErrorRow::VALIDATION_FAILED),
        };
        let schema = parse_schema::<String>(SCHEMA).map_err(|_| ErrorRow::VALIDATION_FAILED)?.into_static();
        let checked = Check { schema: &schema, declared: &declared }.selection(root, &set);
        let field = set.items.into_iter().find_map(|item| match item {
            Selection::Field(field) => Some(field),
            Selection::FragmentSpread(_) | Selection::InlineFragment(_) => None,
        });
        let operation = |field: &Field<'static, String>| {
            Operation::ALL.into_iter().find(|operation| operation.field() == field.name)
        };
        match field.and_then(|field| Some((operation(&field)?, field))) {
            Some((operation, field)) if checked => Ok(Self { operation, field, variables }),
            Some(_) | None => Err(ErrorRow::VALIDATION_FAILED),
        }
    }

    /// An argument of the root field, with the values of its variables.
    pub(super) fn argument(&self, name: &str) -> Value {
        let literal = self.field.arguments.iter().find(|(known, _)| known == name);
        literal.map(|(_, literal)| resolved(literal, &self.variables)).unwrap_or_default()
    }

    /// `data` of the answer: what the document selects of the object or scalar that was found. Its
    /// `__typename` decides which fragments apply.
    pub(super) fn select(&self, found: &Value) -> Value {
        let key = self.field.alias.as_ref().unwrap_or(&self.field.name);
        Value::Object(Map::from_iter([(key.clone(), selected(&self.field.selection_set, found))]))
    }
}

fn resolved(literal: &Literal<'static, String>, variables: &Value) -> Value {
    match literal {
        Literal::Variable(name) => variables.get(name).cloned().unwrap_or_default(),
        Literal::Int(number) => number.as_i64().into(),
        Literal::Float(number) => (*number).into(),
        Literal::String(text) | Literal::Enum(text) => text.as_str().into(),
        Literal::Boolean(value) => (*value).into(),
        Literal::Null => Value::Null,
        Literal::List(all) => all.iter().map(|one| resolved(one, variables)).collect(),
        Literal::Object(members) => {
            members.iter().map(|(name, one)| (name.clone(), resolved(one, variables))).collect()
        }
    }
}

fn selected(set: &SelectionSet<'static, String>, found: &Value) -> Value {
    match found {
        Value::Array(all) => all.iter().map(|one| selected(set, one)).collect(),
        Value::Object(members) => {
            let of = members.get("__typename").and_then(Value::as_str).unwrap_or_default();
            let member = |field: &Field<'static, String>| {
                let value = members.get(&field.name).unwrap_or(&Value::Null);
                let key = field.alias.as_ref().unwrap_or(&field.name);
                (key.clone(), selected(&field.selection_set, value))
            };
            fields(set, of).into_iter().map(member).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => found.clone(),
    }
}

/// The fields of a selection that an object of this type has.
fn fields<'d>(set: &'d SelectionSet<'static, String>, of: &str) -> Vec<&'d Field<'static, String>> {
    let of_item = |item: &'d Selection<'static, String>| match item {
        Selection::Field(field) => vec![field],
        Selection::InlineFragment(fragment) => match &fragment.type_condition {
            Some(TypeCondition::On(on)) if on != of && on != INTERFACE => Vec::new(),
            Some(_) | None => fields(&fragment.selection_set, of),
        },
        Selection::FragmentSpread(_) => Vec::new(),
    };
    set.items.iter().flat_map(of_item).collect()
}

/// The schema, and the variables that a document declares.
struct Check<'a> {
    schema: &'a schema::Document<'static, String>,
    declared: &'a [VariableDefinition<'static, String>],
}

impl<'a> Check<'a> {
    fn definition(&self, name: &str) -> Option<&'a TypeDefinition<'static, String>> {
        let mut types = self.schema.definitions.iter().filter_map(|definition| {
            if let schema::Definition::TypeDefinition(found) = definition { Some(found) } else { None }
        });
        types.find(|found| name_of(found) == name)
    }

    /// The fields of an object type or an interface.
    fn fields(&self, name: &str) -> Option<&'a [schema::Field<'static, String>]> {
        match self.definition(name)? {
            TypeDefinition::Object(object) => Some(&object.fields),
            TypeDefinition::Interface(interface) => Some(&interface.fields),
            TypeDefinition::Scalar(_)
            | TypeDefinition::Union(_)
            | TypeDefinition::Enum(_)
            | TypeDefinition::InputObject(_) => None,
        }
    }

    fn selection(&self, of: &str, set: &SelectionSet<'static, String>) -> bool {
        set.items.iter().all(|item| match item {
            Selection::Field(field) => self.field(of, field),
            Selection::InlineFragment(fragment) => match &fragment.type_condition {
                Some(TypeCondition::On(on)) => {
                    self.is_one_of(on, of) && self.selection(on, &fragment.selection_set)
                }
                None => self.selection(of, &fragment.selection_set),
            },
            // A document is one operation, so that it defines no fragments.
            Selection::FragmentSpread(_) => false,
        })
    }

    fn is_one_of(&self, name: &str, of: &str) -> bool {
        let implements = |found: &TypeDefinition<'static, String>| matches!(found, TypeDefinition::Object(object) if object.implements_interfaces.iter().any(|one| one == of));
        name == of || self.definition(name).is_some_and(implements)
    }

    fn field(&self, of: &str, field: &Field<'static, String>) -> bool {
        let known = self.fields(of).and_then(|known| known.iter().find(|known| known.name == field.name));
        let Some(known) = known else { return false };
        let given: Vec<_> = field.arguments.iter().map(|(name, value)| (name, value)).collect();
        self.members(&known.arguments, &given)
            && match self.fields(base(&known.field_type)) {
                Some(_) if field.selection_set.items.is_empty() => false,
                Some(_) => self.selection(base(&known.field_type), &field.selection_set),
                None => field.selection_set.items.is_empty(),
            }
    }

    /// Whether all members are known and have a value of their type, and no required one is
    /// missing.
    fn members(
        &self,
        known: &[InputValue<'static, String>],
        given: &[(&String, &Literal<'static, String>)],
    ) -> bool {
        let fits = |(name, value): &(&String, &Literal<'static, String>)| {
            let found = known.iter().find(|known| known.name == **name);
            found.is_some_and(|known| self.value(&known.value_type, value))
        };
        let is_missing = |known: &InputValue<'static, String>| {
            let is_required = matches!(known.value_type, Type::NonNullType(_));
            is_required && given.iter().all(|(name, _)| **name != known.name)
        };
        given.iter().all(fits) && !known.iter().any(is_missing)
    }

    /// Whether a value may stand where this type is wanted. Literals of scalar types are not
    /// checked.
    fn value(&self, of: &Type<'static, String>, value: &Literal<'static, String>) -> bool {
        match (value, of) {
            (Literal::Variable(name), _) => {
                let never_null = Type::NonNullType(Box::new(of.clone()));
                let declared = self.declared.iter().find(|declared| declared.name == *name);
                declared.is_some_and(|it| it.var_type == *of || it.var_type == never_null)
            }
            (_, Type::NonNullType(inner)) => self.value(inner, value),
            (Literal::List(all), Type::ListType(inner)) => all.iter().all(|one| self.value(inner, one)),
            (Literal::Object(given), _) => self.definition(base(of)).is_some_and(|found| {
                matches!(found, TypeDefinition::InputObject(input) if self.members(&input.fields, &given.iter().collect::<Vec<_>>()))
            }),
            _ => true,
        }
    }
}

fn name_of<'a>(definition: &'a TypeDefinition<'static, String>) -> &'a str {
    match definition {
        TypeDefinition::Object(object) => &object.name,
        TypeDefinition::Interface(interface) => &interface.name,
        TypeDefinition::InputObject(input) => &input.name,
        TypeDefinition::Scalar(_) | TypeDefinition::Union(_) | TypeDefinition::Enum(_) => "",
    }
}

/// The name of a type without `[]` and `!`.
fn base<'a>(of: &'a Type<'static, String>) -> &'a str {
    match of {
        Type::NamedType(name) => name,
        Type::ListType(inner) | Type::NonNullType(inner) => base(inner),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Operation, ErrorRow> {
        Document::read(text, json!({})).map(|document| document.operation)
    }

    #[test]
    fn a_document_may_ask_for_what_the_schema_has_and_for_nothing_else() {
        let failed = || Err(ErrorRow::VALIDATION_FAILED);
        for (fields, expected) in [
            ("id", Ok(Operation::Fetch)),
            ("id registration { status { type timestamp } }", Ok(Operation::Fetch)),
            ("... on BirthRegistration { id child { name { firstNames } } }", Ok(Operation::Fetch)),
            ("registration { number: registrationNumber }", Ok(Operation::Fetch)),
            ("registrationNumber", failed()),
            ("registration", failed()),
            ("id { x }", failed()),
            ("child { birthDate }", failed()),
            ("registration { number }", failed()),
            ("... on Person { id }", failed()),
            ("... on DeathRegistration { child { birthDate } }", failed()),
            ("... on BirthRegistration { child { name { given } } }", failed()),
        ] {
            let text = format!("query ($id: ID!) {{ fetchRegistration(id: $id) {{ {fields} }} }}");
            assert_eq!(read(&text), expected, "{fields}");
        }
    }

    #[test]
    fn arguments_are_those_of_the_schema_and_what_is_no_document_is_a_syntax_error() {
        let (parse, validate) = (|| Err(ErrorRow::PARSE_FAILED), || Err(ErrorRow::VALIDATION_FAILED));
        let confirm = "mutation named($id: ID!, $details: ConfirmRegistrationInput!) \
                       { confirmRegistration(id: $id, details: $details) }";
        let list = |parameters: &str| {
            format!(
                "query {{ searchEvents(advancedSearchParameters: {{ {parameters} }}, count: 5) {{ totalItems }} }}"
            )
        };
        for (text, expected) in [
            (confirm, Ok(Operation::Confirm)),
            (&list(r#"registrationStatuses: ["A"]"#), Ok(Operation::Search)),
            (&list("registeredStatuses: []"), validate()),
            (r#"mutation { confirmRegistration(id: "1", details: { comment: "c" }) }"#, validate()),
            ("query { fetchRegistration { id } }", validate()),
            ("query ($id: String!) { fetchRegistration(id: $id) { id } }", validate()),
            ("query { fetchRegistration(id: $id) { id } }", validate()),
            ("query ($id: ID!) { fetchRegistration(id: $id, of: 1) { id } }", validate()),
            ("subscription { a }", validate()),
            ("", parse()),
            ("query", parse()),
            ("query {", parse()),
            ("{ }", parse()),
            (r#"query { fetchRegistration(id: "1") { id } } }"#, parse()),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn an_answer_has_what_was_selected_and_nothing_else() {
        let text = "query ($id: ID!) { fetchRegistration(id: $id) { registration { number: registrationNumber \
                    status { type } } ... on BirthRegistration { child { birthDate } } \
                    ... on DeathRegistration { deceased { birthDate } } } }";
        let document = Document::read(text, json!({"id": "record"})).unwrap();
        assert_eq!(document.argument("id"), "record");
        let found = json!({
            "__typename": "BirthRegistration", "id": "record", "child": {"birthDate": "2025-01-02", "name": []},
            "registration": {"registrationNumber": "N", "status": [{"type": "A", "timestamp": "t"}]}
        });
        assert_eq!(
            document.select(&found),
            json!({"fetchRegistration": {
                "registration": {"number": "N", "status": [{"type": "A"}]}, "child": {"birthDate": "2025-01-02"}
            }})
        );
        assert_eq!(document.select(&Value::Null), json!({"fetchRegistration": null}));
    }
}
