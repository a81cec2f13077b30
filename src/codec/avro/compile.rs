//! From a schema and a plan to steps.
//!
//! A type that the plan looks into is compiled for its place in the plan; all others once each, so that recursive schemas end.

use super::schema::{Here, Types};
use super::{Avro, Leaf, Plan, Step, Type, TypeIx, Width};
use crate::codec::mapping::forever;
use crate::codec::plan::{NodeIx, ROOT, Role};
use crate::codec::scalar::Tick;
use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, UuidSchema};
use std::collections::HashMap;

/// Types that a schema may compile to; beyond it a schema is a bomb of nested unions.
const MAX_TYPES: usize = 100_000;

pub(super) fn compile(names: &Types<'_>, plan: &mut Plan) -> Result<Avro, String> {
    let mut compiler = Compiler { names, plan, types: Vec::new(), plain: HashMap::new() };
    let root = compiler.compile(names.whole(), Some(ROOT))?;
    let types = compiler.types;
    match names.resolve(names.whole())?.schema {
        Schema::Record(_) => Ok(Avro { types, root }),
        _ => Err("the schema must be a record".to_string()),
    }
}

struct Compiler<'c, 's> {
    names: &'c Types<'s>,
    plan: &'c mut Plan,
    types: Vec<Type>,
    /// Named types that nobody looks into.
    plain: HashMap<String, TypeIx>,
}

impl<'s> Compiler<'_, 's> {
    fn push(&mut self, ty: Type) -> Result<TypeIx, String> {
        if self.types.len() >= MAX_TYPES {
            return Err(format!("the schema has more than {MAX_TYPES} types"));
        }
        self.types.push(ty);
        Ok(TypeIx(self.types.len() as u32 - 1))
    }

    /// The step for a field; neighbouring doubles are one.
    fn add_step(&self, steps: &mut Vec<Step>, ty: TypeIx, role: Role) {
        let step = match (&self.types[ty.0 as usize], role) {
            (Type::Leaf(leaf), Role::SKIP) => Step::Skip(leaf.clone()),
            (Type::Leaf(Leaf::Double), Role { node: None, feature: Some(feature) }) => match steps.last_mut() {
                Some(Step::Doubles { first, count }) if first.0 as usize + *count == feature.0 as usize => {
                    *count += 1;
                    return;
                }
                _ => Step::Doubles { first: feature, count: 1 },
            },
            (Type::Leaf(leaf), Role { node: Some(node), feature: None }) => match self.plan.only_slot(node) {
                Some(slot) => Step::Slot(leaf.clone(), slot),
                None => Step::Value(ty, role),
            },
            _ => Step::Value(ty, role),
        };
        steps.push(step);
    }

    fn compile(&mut self, here: Here<'s>, node: Option<NodeIx>) -> Result<TypeIx, String> {
        let here = self.names.resolve(here)?;
        let all = node;
        let node = node.filter(|n| self.plan.walks(*n));
        match here.schema {
            Schema::Record(record) => {
                let name = record.name.fullname(here.namespace);
                let inner = record.name.namespace().or(here.namespace);
                if node.is_none()
                    && let Some(known) = self.plain.get(&name)
                {
                    return Ok(*known);
                }
                // its number exists before its fields do: they may refer to it
                let this = self.push(Type::Record(Box::default()))?;
                if node.is_none() {
                    self.plain.insert(name, this);
                }
                let mut steps = Vec::with_capacity(record.fields.len());
                for field in &record.fields {
                    let role = match node {
                        Some(node) => self
                            .plan
                            .role(node, &field.name)
                            .ok_or("the schema has too many features, or one whose name has more than 256 bytes")?,
                        None => Role::SKIP,
                    };
                    let ty = self.compile(Here { schema: &field.schema, namespace: inner }, role.node)?;
                    self.add_step(&mut steps, ty, role);
                }
                self.types[this.0 as usize] = Type::Record(steps.into());
                Ok(this)
            }
            Schema::Union(union) => {
                let variants =
                    union.variants().iter().map(|v| self.compile(Here { schema: v, ..here }, all)).collect::<Result<Box<[_]>, _>>()?;
                self.push(Type::Union(variants))
            }
            Schema::Array(array) => {
                let items = Here { schema: &array.items, ..here };
                let plain = self.compile(items, None)?;
                let Some(node) = all.filter(|n| self.plan.lists(*n)) else { return self.push(Type::Array(plain)) };
                let picks: Vec<Option<NodeIx>> = self.plan.picks(node).collect();
                let picks =
                    picks.into_iter().map(|p| if p.is_some() { self.compile(items, p) } else { Ok(plain) }).collect::<Result<_, _>>()?;
                self.push(Type::List { node, plain, picks })
            }
            Schema::Map(map) => {
                let values = Here { schema: &map.types, ..here };
                let plain = self.compile(values, None)?;
                let Some(node) = node else { return self.push(Type::Map(plain)) };
                let children: Vec<NodeIx> = self.plan.children(node).filter(|c| self.plan.goes_on(*c)).collect();
                let deeper = children.into_iter().map(|c| Ok((c, self.compile(values, Some(c))?))).collect::<Result<Box<[_]>, String>>()?;
                self.push(Type::Entries { node, plain, deeper })
            }
            // whoever wants to know what bytes hold takes them for text
            Schema::Bytes if all.is_some_and(|n| self.plan.opens(n)) => self.push(Type::Leaf(Leaf::Text)),
            other => self.push(Type::Leaf(leaf(other)?)),
        }
    }
}

fn leaf(schema: &Schema) -> Result<Leaf, String> {
    Ok(match schema {
        Schema::Null => Leaf::Null,
        Schema::Boolean => Leaf::Bool,
        Schema::Int | Schema::TimeMillis => Leaf::Int,
        Schema::Long | Schema::TimeMicros => Leaf::Long,
        Schema::Float => Leaf::Float,
        Schema::Double => Leaf::Double,
        Schema::String => Leaf::Text,
        Schema::Bytes => Leaf::Bytes,
        Schema::Fixed(fixed) => Leaf::Fixed(fixed.size),
        Schema::Duration(fixed) => Leaf::Fixed(fixed.size),
        Schema::Enum(names) => Leaf::Enum(names.symbols.iter().map(|s| forever(s)).collect()),
        Schema::Decimal(decimal) => {
            let size = match &decimal.inner {
                InnerDecimalSchema::Bytes => None,
                InnerDecimalSchema::Fixed(fixed) => Some(fixed.size),
            };
            Leaf::Decimal { scale: decimal.scale, size }
        }
        Schema::BigDecimal => Leaf::BigDecimal,
        Schema::Uuid(UuidSchema::String) => Leaf::UuidText,
        Schema::Uuid(UuidSchema::Bytes) => Leaf::UuidBytes { size: None },
        Schema::Uuid(UuidSchema::Fixed(fixed)) => Leaf::UuidBytes { size: Some(fixed.size) },
        Schema::Date => Leaf::Instant(Tick::Day, Width::Int),
        Schema::TimestampMillis | Schema::LocalTimestampMillis => Leaf::Instant(Tick::Milli, Width::Long),
        Schema::TimestampMicros | Schema::LocalTimestampMicros => Leaf::Instant(Tick::Micro, Width::Long),
        Schema::TimestampNanos | Schema::LocalTimestampNanos => Leaf::Instant(Tick::Nano, Width::Long),
        other => return Err(format!("a type of this version's Avro library is not known here: {other:?}")),
    })
}
