//! The bytes of Avro and Protobuf by other libraries, from values that are typed as JSON.
#![allow(dead_code)] // not all who write one of them write the other

use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value as Json;

/// A value in the bytes of a schema.
pub fn avro(schema: &str, value: &Json) -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(schema).expect("a schema");
    let value = Avro::try_from(value.clone()).expect("a value").resolve(&schema).expect("of the schema");
    GenericDatumWriter::builder(&schema).build().and_then(|w| w.write_value_to_vec(value)).expect("encoded")
}

/// A value in the bytes of a message of a descriptor set, by Protobuf's mapping of JSON.
pub fn protobuf(set: &[u8], message: &str, value: &Json) -> Vec<u8> {
    let pool = DescriptorPool::decode(set).expect("descriptors");
    let ty = pool.get_message_by_name(message).expect("the message");
    DynamicMessage::deserialize(ty, value.clone()).expect("of the message").encode_to_vec()
}
