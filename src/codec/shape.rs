//! What a schema of any format has at a place: the same questions for Avro and Protobuf.
//!
//! Comes from: `avro::Types`, `protobuf::MessageType`. Goes to: `writers` (a registry's schemas), `config::check` (schema files).

use crate::config::place::Step;

/// A schema that another refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referred {
    /// What it is called there: the name of an imported file.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A name that a schema does not have, and those it has instead.
pub struct Absent {
    /// The name.
    pub name: String,
    /// The others.
    pub known: Vec<String>,
}

/// What a path leads to.
pub struct Leads {
    /// What can be done with it.
    pub kind: Kind,
    /// What the schema calls it.
    pub word: String,
}

/// What can be done with what is at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It has these entries.
    Record(Vec<String>),
    /// Any entries.
    Map,
    /// Elements.
    List,
    /// It is a number.
    Number,
    /// It is text, or bytes that may hold some.
    Text,
    /// A value of another kind.
    Other,
    /// Anything may be there.
    Any,
}

impl Leads {
    /// To this.
    pub fn to(kind: Kind, word: &str) -> Leads {
        Leads { kind, word: word.to_string() }
    }
}

impl Kind {
    /// Whether features can be in it.
    pub fn has_entries(&self) -> bool {
        matches!(self, Kind::Record(_) | Kind::Map | Kind::List | Kind::Any)
    }
}

/// A schema.
pub trait Shape {
    /// What a path can lead to: several things, if the schema has alternatives. What a text holds no schema says: there the path ends.
    fn find(&self, path: &[Step]) -> Result<Vec<Leads>, Absent>;
}
