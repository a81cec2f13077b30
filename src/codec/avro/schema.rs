//! A parsed schema with its references resolved, in any namespace.

use apache_avro::Schema;
use apache_avro::schema::{Name, NamesRef};
use std::collections::HashMap;

/// The named types of a schema.
pub struct Types<'s> {
    /// The schema itself.
    pub root: &'s Schema,
    names: NamesRef<'s>,
}

/// A schema at its place: the namespace around it decides what short names mean.
#[derive(Clone, Copy)]
pub struct Here<'s> {
    /// The schema.
    pub schema: &'s Schema,
    /// The namespace around it.
    pub namespace: Option<&'s str>,
}

impl<'s> Types<'s> {
    /// Collects all named types.
    pub fn of(root: &'s Schema) -> Types<'s> {
        let mut types = Types { root, names: HashMap::new() };
        types.collect(Here { schema: root, namespace: None });
        types
    }

    /// The whole schema.
    pub fn whole(&self) -> Here<'s> {
        Here { schema: self.root, namespace: None }
    }

    fn collect(&mut self, here: Here<'s>) {
        if let Some(name) = here.schema.name()
            && !matches!(here.schema, Schema::Ref { .. })
        {
            self.names.insert(full(name, here.namespace), here.schema);
        }
        match here.schema {
            Schema::Record(record) => {
                let namespace = record.name.namespace().or(here.namespace);
                record.fields.iter().for_each(|f| self.collect(Here { schema: &f.schema, namespace }));
            }
            Schema::Union(union) => union.variants().iter().for_each(|v| self.collect(Here { schema: v, ..here })),
            Schema::Array(array) => self.collect(Here { schema: &array.items, ..here }),
            Schema::Map(map) => self.collect(Here { schema: &map.types, ..here }),
            _ => {}
        }
    }

    /// What a reference refers to; anything else is itself.
    pub fn resolve(&self, here: Here<'s>) -> Result<Here<'s>, String> {
        let Schema::Ref { name } = here.schema else { return Ok(here) };
        let full = full(name, here.namespace);
        let schema = *self.names.get(&full).ok_or_else(|| format!("type \"{full}\" is not in the schema"))?;
        // a definition without a namespace of its own stands in the namespace of its full name, which is this
        let namespace = name.namespace().or(here.namespace);
        Ok(Here { schema, namespace })
    }

    /// The alternatives at a place: the parts of a union, references resolved.
    pub fn alternatives(&self, here: Here<'s>) -> Vec<Here<'s>> {
        match here.schema {
            Schema::Union(union) => union.variants().iter().flat_map(|v| self.alternatives(Here { schema: v, ..here })).collect(),
            _ => self.resolve(here).into_iter().collect(),
        }
    }
}

fn full(name: &Name, namespace: Option<&str>) -> Name {
    name.fully_qualified_name(namespace).into_owned()
}
