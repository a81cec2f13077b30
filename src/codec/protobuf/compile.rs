//! From a message type and a plan to steps.
//!
//! Only what the plan looks for is compiled, so that types that refer to themselves end where the plan does.

use super::schema::{self, Message as MessageType, StandsFor};
use super::{Item, Leaf, Message, Plan, Step, What};
use crate::codec::mapping::{Slot, forever};
use crate::codec::plan::{NodeIx, ROOT, Role};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use std::collections::BTreeMap;

pub(super) fn compile(message: &MessageType, plan: &mut Plan) -> Result<Message, String> {
    Compiler { plan }.message(message.descriptor(), ROOT)
}

struct Compiler<'p> {
    plan: &'p mut Plan,
}

impl Compiler<'_> {
    /// A message whose fields are looked for at `node`.
    fn message(&mut self, message: &MessageDescriptor, node: NodeIx) -> Result<Message, String> {
        let mut fields = Vec::new();
        for field in message.fields().filter(|field| !field.is_group()) {
            let role =
                self.plan.role(node, field.name()).ok_or("the schema has too many features, or one whose name has more than 256 bytes")?;
            let node = role.node.or_else(|| self.plan.child(node, field.json_name()));
            fields.push((field, Role { node, ..role }));
        }
        self.steps(fields, false)
    }

    /// A message that is what is in it; `node` is its own.
    fn transparent(&mut self, message: &MessageDescriptor, node: Option<NodeIx>) -> Result<Message, String> {
        let role = Role { node, feature: None };
        self.steps(message.fields().map(|field| (field, role)).collect(), true)
    }

    fn steps(&mut self, fields: Vec<(FieldDescriptor, Role)>, transparent: bool) -> Result<Message, String> {
        let wanted = |role: &Role| transparent || !role.is_skip();
        let oneof_of = |field: &FieldDescriptor| field.containing_oneof().filter(|o| !o.is_synthetic()).map(|o| o.name().to_string());
        let mut oneofs = BTreeMap::new();
        for (field, _) in fields.iter().filter(|(_, role)| wanted(role)) {
            if let Some(name) = oneof_of(field) {
                let next = oneofs.len() as u16;
                oneofs.entry(name).or_insert(next);
            }
        }
        let mut steps = Vec::new();
        for (field, role) in fields {
            let oneof = oneof_of(&field).and_then(|name| oneofs.get(&name).copied());
            if !wanted(&role) && oneof.is_none() {
                continue;
            }
            let what = if wanted(&role) { self.what(&field, role.node)? } else { What::Nothing };
            let alone = !transparent && role.feature.is_none();
            let slot = role.node.filter(|_| alone).and_then(|node| self.plan.only_slot(node));
            steps.push(Step { number: field.number(), name: field.name().into(), what, role, slot, oneof });
        }
        steps.sort_by_key(|step| step.number);
        Ok(Message { steps: steps.into(), oneofs: oneofs.len(), transparent })
    }

    fn what(&mut self, field: &FieldDescriptor, node: Option<NodeIx>) -> Result<What, String> {
        if let Some(entry) = schema::entry(field) {
            return self.map(&entry, node.filter(|node| self.plan.walks(*node)));
        }
        if field.is_list() {
            let plain = self.item(field, None)?;
            let node = node.filter(|node| self.plan.lists(*node));
            let picks: Vec<Option<NodeIx>> = node.map_or(Vec::new(), |node| self.plan.picks(node).collect());
            let picks = picks.into_iter().map(|pick| self.item(field, pick)).collect::<Result<_, _>>()?;
            return Ok(What::List { node, plain, picks });
        }
        let item = self.item(field, node)?;
        // a JSON value of no kind is null
        let presence = field.supports_presence() && item_leaf(&item) != Some(&Leaf::Null);
        Ok(What::One { item, presence })
    }

    fn map(&mut self, entry: &MessageDescriptor, node: Option<NodeIx>) -> Result<What, String> {
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let part = |field: &FieldDescriptor, item| Step {
            number: field.number(),
            name: field.name().into(),
            what: What::One { item, presence: false },
            role: Role::SKIP,
            slot: None,
            oneof: None,
        };
        let steps = Box::new([part(&key, Item::Leaf(leaf(&key.kind(), true, false))), part(&value, self.item(&value, None)?)]);
        let children: Vec<NodeIx> = node.map_or(Vec::new(), |node| self.plan.children(node).collect());
        let deeper = children.into_iter().map(|child| Ok((child, self.item(&value, Some(child))?))).collect::<Result<_, String>>()?;
        Ok(What::Map { node, entry: Box::new(Message { steps, oneofs: 0, transparent: false }), deeper })
    }

    /// A value, or an element of a list, that is looked for at `node`.
    fn item(&mut self, field: &FieldDescriptor, node: Option<NodeIx>) -> Result<Item, String> {
        let kind = field.kind();
        let Kind::Message(message) = &kind else {
            let slots = |node: NodeIx| self.plan.slots(node).contains(&Slot::REQUEST_ID);
            return Ok(Item::Leaf(leaf(&kind, node.is_some_and(slots), node.is_some_and(|node| self.plan.opens(node)))));
        };
        let named = |node: &NodeIx| message.fields().any(|field| self.plan.child(*node, field.name()).is_some());
        let looked_into = node.is_some_and(|node| named(&node)); // somebody wants `time.seconds`
        Ok(match (schema::stands_for(message), node.filter(|node| self.plan.walks(*node))) {
            // nobody looks into it: only a value of its own can be a feature
            (Some(StandsFor::Json), _) if node.is_none() && message.name() != "Value" => Item::Opaque,
            (Some(StandsFor::Json), _) => Item::Message(Box::new(self.transparent(message, node)?)),
            (Some(StandsFor::Scalar(_)), _) if !looked_into => Item::Message(Box::new(self.transparent(message, node)?)),
            (Some(StandsFor::Instant), _) if !looked_into => Item::Instant,
            (_, Some(node)) => Item::Message(Box::new(self.message(message, node)?)),
            (_, None) => Item::Opaque,
        })
    }
}

fn item_leaf(item: &Item) -> Option<&Leaf> {
    match item {
        Item::Leaf(leaf) => Some(leaf),
        _ => None,
    }
}

/// `digits`: all of them matter; `opened`: whoever wants to know what bytes hold takes them for text.
fn leaf(kind: &Kind, digits: bool, opened: bool) -> Leaf {
    match kind {
        Kind::Bool => Leaf::Bool,
        Kind::Int32 => Leaf::Int32,
        Kind::Int64 => Leaf::Int64,
        Kind::Uint32 => Leaf::Uint32,
        Kind::Uint64 => Leaf::Uint64 { digits },
        Kind::Sint32 => Leaf::Sint32,
        Kind::Sint64 => Leaf::Sint64,
        Kind::Fixed32 => Leaf::Fixed32,
        Kind::Fixed64 => Leaf::Fixed64 { digits },
        Kind::Sfixed32 => Leaf::Sfixed32,
        Kind::Sfixed64 => Leaf::Sfixed64,
        Kind::Float => Leaf::Float,
        Kind::Double => Leaf::Double,
        Kind::String => Leaf::Text,
        Kind::Bytes if opened => Leaf::Text,
        Kind::Bytes | Kind::Message(_) => Leaf::Bytes, // messages are no leaves
        Kind::Enum(kind) if kind.full_name() == "google.protobuf.NullValue" => Leaf::Null,
        Kind::Enum(kind) => Leaf::Enum(names(kind)),
    }
}

/// The first name of each number.
fn names(kind: &EnumDescriptor) -> Box<[(i32, &'static str)]> {
    let mut names = BTreeMap::new();
    for value in &kind.enum_descriptor_proto().value {
        names.entry(value.number()).or_insert_with(|| forever(value.name()));
    }
    names.into_iter().collect()
}
