//! Avro: a schema compiled once against the plan, then one walk over the bytes of each value.
//!
//! Guarantees: what apache-avro reads from complete bytes, this reads, too, with the same values; nested at most 64 deep, at most
//! 100,000 elements of lists and maps and 4,000,000 fields in a value, all arithmetic checked; no input makes it panic. Stricter than apache-avro:
//! truncated values and bytes left over are refused. Laxer: text, uuids and decimals that nobody wants are passed over unread.
//! Never: allocates, except for wanted uuids that are not written as usual. Comes from: `framing`. Goes to: `found::Found`.

mod compile;
mod decimal;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod oracle;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod whole;

pub use schema::{Here, Parsed, Types};
pub use whole::Whole;

use super::event::{FeatureIx, Reason};
use super::found::Sink;
use super::mapping::Slot;
use super::plan::{NodeIx, Plan, Role, Stop};
use super::scalar::Tick;

/// Nested records, lists and maps that a value may have.
pub const MAX_DEPTH: usize = 64;
/// Elements of lists and maps that a value may have: a count of a billion nulls takes five bytes.
pub const MAX_ELEMENTS: usize = 100_000;
/// Fields of records that a value may have, counted once for each time that a record comes: records of nulls take no bytes at all.
pub const MAX_FIELDS: usize = 4_000_000;

/// A compiled type, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct TypeIx(u32);

/// A compiled type.
#[derive(Debug)]
enum Type {
    Leaf(Leaf),
    Union(Box<[TypeIx]>),
    Array(TypeIx),
    Record(Box<[Step]>),
    /// An array in which the plan looks for elements.
    List {
        node: NodeIx,
        /// Type of an element that is a feature, or nothing.
        plain: TypeIx,
        /// Its type for each thing that is looked for.
        picks: Box<[TypeIx]>,
    },
    /// A map nobody looks into.
    Map(TypeIx),
    /// A map whose keys are looked up at a node of the plan.
    Entries {
        node: NodeIx,
        /// Type of a value that is a feature, or nothing.
        plain: TypeIx,
        /// Types of values in which the plan goes on.
        deeper: Box<[(NodeIx, TypeIx)]>,
    },
}

/// What is done for a field of a record, or for several.
#[derive(Debug)]
enum Step {
    /// Nobody wants it.
    Skip(Leaf),
    /// One slot wants it, and nobody else.
    Slot(Leaf, Slot),
    /// Neighbouring doubles that are features and nothing else: most values of most records.
    Doubles { first: FeatureIx, count: usize },
    /// Anything else.
    Value(TypeIx, Role),
}

/// Types without parts.
#[derive(Clone, Debug, PartialEq)]
enum Leaf {
    Null,
    Bool,
    Int,
    Long,
    /// An int or long that counts ticks.
    Instant(Tick, Width),
    Float,
    Double,
    Text,
    Bytes,
    Fixed(usize),
    Enum(Box<[&'static str]>),
    /// Unscaled big-endian bytes; `None` reads their number first.
    Decimal {
        scale: usize,
        size: Option<usize>,
    },
    BigDecimal,
    UuidText,
    UuidBytes {
        size: Option<usize>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Int,
    Long,
}

/// A schema compiled against a plan.
#[derive(Debug)]
pub struct Avro {
    types: Vec<Type>,
    root: TypeIx,
}

impl Avro {
    /// Compiles a schema; features that are fields of records get their numbers now.
    pub fn compile(schema: &str, plan: &mut Plan) -> Result<Avro, String> {
        Avro::of(&Parsed::of(schema, &[])?.types(), plan)
    }

    /// The same for a schema that is parsed already. Several schemas may be compiled against one plan: features have one number each.
    pub fn of(types: &Types<'_>, plan: &mut Plan) -> Result<Avro, String> {
        compile::compile(types, plan)
    }

    /// Walks a value.
    pub fn read<'a>(&self, bytes: &'a [u8], sink: &mut Sink<'_, 'a>) -> Result<(), Stop> {
        read::read(self, bytes, sink)
    }
}

fn undecodable(at: usize, what: &str) -> Stop {
    Stop { reason: Reason::Undecodable, detail: format!("the value does not fit the Avro schema: {what} at byte {at}") }
}
