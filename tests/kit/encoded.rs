//! Avro's bytes by its reference library, from values that are typed as JSON.

use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::Value as Json;

/// A value in the bytes of a schema.
pub fn avro(schema: &str, value: &Json) -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(schema).expect("a schema");
    let value = Avro::try_from(value.clone()).expect("a value").resolve(&schema).expect("of the schema");
    GenericDatumWriter::builder(&schema).build().and_then(|w| w.write_value_to_vec(value)).expect("encoded")
}
