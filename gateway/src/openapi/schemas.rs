//! Collects the schemas of the wire types.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// Who gets a form of an answer.
pub(crate) const OLD: &str = "For clients that declare `electron`, `flutter` or nothing";
pub(crate) const UNIFIED: &str = "For clients that declare `unified`";

/// One form of an answer.
pub(crate) struct Form {
    suffix: &'static str,
    when: &'static str,
    schema: Value,
    parts: Vec<(String, Value)>,
}

impl Form {
    /// The fields of `T` beside `success`, to the old families.
    pub(crate) fn old<T: ToSchema>() -> Self {
        Self::new::<T>("Old", OLD).with_success()
    }

    /// The fields of `T` beside `success`, to new clients.
    pub(crate) fn unified<T: ToSchema>() -> Self {
        Self::new::<T>("Unified", UNIFIED).with_success()
    }

    /// The fields of `T` beside `success`, to everybody.
    pub(crate) fn same<T: ToSchema>() -> Self {
        Self::new::<T>("", "For all clients").with_success()
    }

    /// `T` as it is, also where it tells no success.
    pub(crate) fn failed<T: ToSchema>() -> Self {
        Self::new::<T>("", "For all clients")
    }

    /// `T` as clients send it.
    pub(crate) fn said<T: ToSchema>(suffix: &'static str, who: &'static str) -> Self {
        Self::new::<T>(suffix, who)
    }

    /// `T` as it is.
    pub(crate) fn bare<T: ToSchema>(when: &'static str) -> Self {
        Self::new::<T>("Bare", when)
    }

    /// The fields of `T` beside `success`, in another case than the declared vocabulary.
    pub(crate) fn other<T: ToSchema>(suffix: &'static str, when: &'static str) -> Self {
        Self::new::<T>(suffix, when).with_success()
    }

    /// A schema that no type has: a map by id, which some answers repeat at their top.
    pub(crate) fn made<T: ToSchema>(
        suffix: &'static str,
        when: &'static str,
        make: impl Fn(Value) -> Value,
    ) -> Self {
        let mut form = Self::new::<T>(suffix, when);
        form.parts.push((T::name().into_owned(), form.schema));
        form.schema = make(json!({ "$ref": reference(&T::name()) }));
        form
    }

    fn new<T: ToSchema>(suffix: &'static str, when: &'static str) -> Self {
        let mut parts = Vec::new();
        T::schemas(&mut parts);
        let parts = parts.into_iter().map(|(name, schema)| (name, json(&schema))).collect();
        Self { suffix, when, schema: json(&T::schema()), parts }
    }

    fn with_success(mut self) -> Self {
        let success = json!({ "type": "object", "required": ["success"], "properties": {
            "success": { "type": "boolean", "const": true },
        }});
        self.schema = json!({ "allOf": [success, self.schema] });
        self
    }
}

fn json(schema: &impl serde::Serialize) -> Value {
    serde_json::to_value(schema).expect("a schema is JSON")
}

/// Returns how a schema is referred to.
pub(super) fn reference(name: &str) -> String {
    format!("#/components/schemas/{name}")
}

/// The schemas by name.
#[derive(Debug, Default)]
pub(crate) struct Schemas(pub(super) BTreeMap<String, Value>);

impl Schemas {
    /// Adds an answer under the name by which the handlers refer to it: it has one of the forms.
    pub(crate) fn answer(&mut self, name: &str, forms: impl IntoIterator<Item = Form>) {
        let forms: Vec<Form> = forms.into_iter().collect();
        let is_one = forms.len() == 1;
        let mut names = Vec::new();
        for mut form in forms {
            self.part_names(&mut form, name);
            for (part, schema) in form.parts {
                self.put(part, schema);
            }
            let mut schema = form.schema;
            describe(&mut schema, form.when);
            let own = if is_one { name.to_owned() } else { format!("{name}{}", form.suffix) };
            names.push(json!({ "$ref": reference(&own) }));
            self.put(own, schema);
        }
        if !is_one {
            self.put(name.to_owned(), json!({ "anyOf": names }));
        }
    }

    /// Adds a type under its own name; returns how it is referred to.
    pub(crate) fn add<T: ToSchema>(&mut self) -> Value {
        let mut parts = Vec::new();
        T::schemas(&mut parts);
        for (part, schema) in parts {
            self.put(part, json(&schema));
        }
        self.put(T::name().into_owned(), json(&T::schema()));
        json!({ "$ref": reference(&T::name()) })
    }

    /// Renames those parts of a form that are called as others are: the name of a generic type tells the
    /// types that it is of, but not what those are of.
    fn part_names(&self, form: &mut Form, name: &str) {
        let is_taken = |(part, schema): &&(String, Value)| {
            self.0.get(part).is_some_and(|known| known != schema)
        };
        let taken: Vec<String> =
            form.parts.iter().filter(is_taken).map(|(part, _)| part.clone()).collect();
        for part in taken {
            let own = format!("{part}Of{name}");
            let (old, new) = (reference(&part), reference(&own));
            rename(&mut form.schema, &old, &new);
            for (known, schema) in &mut form.parts {
                rename(schema, &old, &new);
                if *known == part {
                    known.clone_from(&own);
                }
            }
        }
    }

    fn put(&mut self, name: String, schema: Value) {
        if let Some(known) = self.0.get(&name) {
            assert_eq!(*known, schema, "two types are called {name}");
        }
        self.0.insert(name, schema);
    }
}

fn rename(value: &mut Value, old: &str, new: &str) {
    match value {
        Value::String(text) if text == old => new.clone_into(text),
        Value::Object(fields) => fields.values_mut().for_each(|field| rename(field, old, new)),
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, old, new)),
        _ => {}
    }
}

fn describe(schema: &mut Value, text: &str) {
    if let Some(fields) = schema.as_object_mut() {
        let said = fields.get("description").and_then(Value::as_str);
        let text = said.map_or_else(|| text.to_owned(), |said| format!("{text}. {said}"));
        fields.insert("description".to_owned(), text.into());
    }
}

/// Returns an object's map of name to value, made if it is not there.
pub(super) fn entry<'a>(of: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    let fields = of.as_object_mut().expect("an object");
    let entry = fields.entry(key).or_insert_with(|| json!({}));
    entry.as_object_mut().expect("an object inside")
}
