//! Protobuf: a message type compiled once against the plan, then one walk over the bytes of each value.
//!
//! Guarantees: what prost-reflect reads from bytes, this reads, too, with the same values (`tests`): the last of a field wins, messages that
//! come in parts are put together, fields come in any order; at most 100,000 elements of lists and maps and 4,000,000 fields are looked at,
//! groups nest at most 64 deep, all arithmetic is checked; no input makes it panic. Laxer than prost-reflect: what nobody wants is passed
//! over unread. Stricter: a map must be written as bytes with their length, a timestamp must fit in microseconds.
//! Never: allocates, except for messages in parts and ids above 2^63. Comes from: `framing`. Goes to: `found::Found`.

mod compile;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod oracle;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod wire;

pub use read::Scratch;
pub use schema::{Message as MessageType, Schema};
pub use wire::indexes;

use super::event::Reason;
use super::found::Sink;
use super::mapping::Slot;
use super::plan::{NodeIx, Plan, Role, Stop};

/// Elements of lists and maps that are looked at in a value, as for Avro.
pub const MAX_ELEMENTS: usize = super::avro::MAX_ELEMENTS;
/// Fields that are looked at in a value, as for Avro; elements that are looked up again among others count, too.
pub const MAX_FIELDS: usize = super::avro::MAX_FIELDS;
/// Nested groups, which are passed over.
pub const MAX_GROUPS: usize = 64;

/// A message type compiled against a plan.
#[derive(Debug)]
pub struct Protobuf {
    root: Message,
}

/// What is wanted of a message.
#[derive(Debug)]
struct Message {
    /// In the order of their numbers.
    steps: Box<[Step]>,
    /// How many groups of fields there are of which one is set.
    oneofs: usize,
    /// It stands for what is in it (a wrapper, a JSON value): its fields are good for what it is good for itself.
    transparent: bool,
}

/// A field that somebody wants.
#[derive(Debug)]
struct Step {
    number: u32,
    name: Box<str>,
    what: What,
    /// What it is good for.
    role: Role,
    /// The slot that wants it, if nobody else does.
    slot: Option<Slot>,
    /// Of the fields with this number one is set: the last.
    oneof: Option<u16>,
}

#[derive(Debug)]
enum What {
    /// Nobody wants it; but while it is set, another is not.
    Nothing,
    One {
        item: Item,
        /// True if it is missing when it is not there; otherwise it has its default value.
        presence: bool,
    },
    List {
        /// Where the plan looks for elements, if it does.
        node: Option<NodeIx>,
        /// An element that is a feature.
        plain: Item,
        /// An element, for each thing that is looked for.
        picks: Box<[Item]>,
    },
    Map {
        /// Where the plan looks for keys, if it does.
        node: Option<NodeIx>,
        /// A key and a value that is a feature.
        entry: Box<Message>,
        /// Values in which the plan goes on.
        deeper: Box<[(NodeIx, Item)]>,
    },
}

/// A value.
#[derive(Debug)]
enum Item {
    Leaf(Leaf),
    Message(Box<Message>),
    /// `google.protobuf.Timestamp`.
    Instant,
    /// A message nobody looks into.
    Opaque,
}

/// Types without parts.
#[derive(Clone, Debug, PartialEq)]
enum Leaf {
    Null,
    Bool,
    Int32,
    Int64,
    Uint32,
    /// `digits`: it is an id, so that all digits matter.
    Uint64 {
        digits: bool,
    },
    Sint32,
    Sint64,
    Fixed32,
    Fixed64 {
        digits: bool,
    },
    Sfixed32,
    Sfixed64,
    Float,
    Double,
    Text,
    Bytes,
    /// Names by number, in the order of the numbers.
    Enum(Box<[(i32, &'static str)]>),
}

impl Protobuf {
    /// Compiles a message type; features that are fields of messages get their numbers now. Several may be compiled against one plan.
    pub fn compile(message: &MessageType, plan: &mut Plan) -> Result<Protobuf, String> {
        compile::compile(message, plan).map(|root| Protobuf { root })
    }

    /// Walks a value.
    pub fn read<'a>(&self, bytes: &'a [u8], sink: &mut Sink<'_, 'a>, scratch: &mut Scratch) -> Result<(), Stop> {
        read::read(&self.root, bytes, sink, scratch)
    }
}

fn undecodable(at: usize, what: &str) -> Stop {
    Stop { reason: Reason::Undecodable, detail: format!("the value does not fit the Protobuf message: {what} at byte {at}") }
}
