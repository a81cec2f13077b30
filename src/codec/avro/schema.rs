//! A parsed schema with its references resolved, in any namespace.

use crate::codec::shape::{Absent, Kind, Leads, Referred, Shape};
use crate::config::place::{self, Step};
use apache_avro::Schema;
use apache_avro::schema::{Name, NamesRef, SchemaKind};
use std::collections::{BTreeSet, HashMap};

/// A schema as it is parsed, with those that it refers to.
pub struct Parsed {
    schema: Schema,
    others: Vec<Schema>,
}

impl Parsed {
    /// Parses a schema; `references` are the texts of schemas whose types it names without defining them.
    pub fn of(text: &str, references: &[Referred]) -> Result<Parsed, String> {
        let parsed = if references.is_empty() {
            Schema::parse_str(text).map(|schema| (schema, Vec::new()))
        } else {
            Schema::parse_str_with_list(text, references.iter().map(|other| &other.text))
        };
        let (schema, others) = parsed.map_err(|e| format!("this is no Avro schema: {e}"))?;
        Ok(Parsed { schema, others })
    }

    /// What Avro's single-object encoding knows it by: CRC-64-AVRO of its canonical form, as it stands in a value.
    pub fn fingerprint(&self) -> [u8; 8] {
        let bytes = self.schema.fingerprint::<apache_avro::rabin::Rabin>().bytes;
        bytes.try_into().unwrap_or_default() // it has eight
    }

    /// Its named types, wherever they are defined.
    pub fn types(&self) -> Types<'_> {
        let mut types = Types::of(&self.schema);
        self.others.iter().for_each(|other| types.collect(Here { schema: other, namespace: None }));
        types
    }
}

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

    /// The alternatives that a path can lead to. What a text holds no schema says: there the path ends.
    pub fn places(&self, path: &[Step]) -> Result<Vec<Here<'s>>, Absent> {
        let mut here = self.alternatives(self.whole());
        let path = place::outside(path);
        for (i, step) in path.iter().enumerate() {
            if i > 0 && matches!(path[i - 1], Step::Row(2..)) {
                continue; // one of the neighbouring elements of a row: they are all of a kind
            }
            let (mut next, mut known) = (Vec::new(), Vec::new());
            for place in &here {
                let name = match (step, place.schema) {
                    (Step::Name(name), _) => name,
                    (_, Schema::Array(array)) => {
                        next.extend(self.alternatives(Here { schema: &array.items, ..*place }));
                        continue;
                    }
                    _ => continue,
                };
                match place.schema {
                    Schema::Record(record) => {
                        let namespace = record.name.namespace().or(place.namespace);
                        known.extend(record.fields.iter().map(|f| f.name.clone()));
                        let field = record.fields.iter().filter(|f| f.name == *name);
                        next.extend(field.flat_map(|f| self.alternatives(Here { schema: &f.schema, namespace })));
                    }
                    Schema::Map(map) => next.extend(self.alternatives(Here { schema: &map.types, ..*place })),
                    _ => {}
                }
            }
            // types that refer to each other lead to the same few places again and again
            let mut seen = BTreeSet::new();
            next.retain(|place: &Here<'s>| seen.insert((std::ptr::from_ref(place.schema), place.namespace)));
            if next.is_empty() {
                return Err(Absent { name: place::shown(std::slice::from_ref(step)), known });
            }
            here = next;
        }
        Ok(here)
    }
}

impl Shape for Types<'_> {
    fn find(&self, path: &[Step]) -> Result<Vec<Leads>, Absent> {
        let leads = |here: Here<'_>| {
            let kind = match here.schema {
                Schema::Record(record) => Kind::Record(record.fields.iter().map(|f| f.name.clone()).collect()),
                Schema::Map(_) => Kind::Map,
                Schema::Array(_) => Kind::List,
                Schema::String | Schema::Bytes => Kind::Text,
                Schema::Int | Schema::Long | Schema::Float | Schema::Double | Schema::Decimal(_) | Schema::BigDecimal => Kind::Number,
                _ => Kind::Other,
            };
            Leads::to(kind, &format!("{:?}", SchemaKind::from(here.schema)).to_lowercase())
        };
        Ok(self.places(path)?.into_iter().map(leads).collect())
    }
}

fn full(name: &Name, namespace: Option<&str>) -> Name {
    name.fully_qualified_name(namespace).into_owned()
}
