//! What stands before a value: nothing, Confluent's magic byte and the schema's id, Avro's own marker and fingerprint, or the header of AWS Glue.
//!
//! Guarantees: what is taken off is as long as its writer says; bytes that begin otherwise are told by what they begin with, and what they might be.
//! Comes from: a record's value. Goes to: `reader`.

/// How values of Avro by a schema file are framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Nothing stands before them.
    #[default]
    Bare,
    /// Confluent's five bytes.
    Confluent,
    /// Avro's single-object encoding: the marker C3 01, and the fingerprint of the writer's schema.
    SingleObject,
    /// AWS Glue's header of 18 bytes.
    Glue,
}

impl Framing {
    /// Every one.
    pub const ALL: [Framing; 4] = [Framing::Bare, Framing::Confluent, Framing::SingleObject, Framing::Glue];

    /// The word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Framing::Bare => "bare",
            Framing::Confluent => "confluent",
            Framing::SingleObject => "single_object",
            Framing::Glue => "glue",
        }
    }

    /// The value without what stands before it; `fingerprint`: of the schema that it should have been written with.
    pub fn open(self, bytes: &[u8], fingerprint: [u8; 8]) -> Result<&[u8], String> {
        match self {
            Framing::Bare => Ok(bytes),
            Framing::Confluent => unframe(bytes).map(|(_, value)| value).map_err(|why| format!("the value has no schema id: {why}")),
            Framing::SingleObject => single_object(bytes, fingerprint),
            Framing::Glue => glue(bytes),
        }
    }
}

/// An id in a schema registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SchemaId(pub u32);

/// Takes Confluent's five bytes off. Any id is accepted here: a schema file, or `writers` by the id, decides how the value is read.
pub fn unframe(bytes: &[u8]) -> Result<(SchemaId, &[u8]), String> {
    match bytes {
        [0, a, b, c, d, value @ ..] => Ok((SchemaId(u32::from_be_bytes([*a, *b, *c, *d])), value)),
        [0, ..] => Err(format!("only {} bytes: too short for a schema id; is the framing bare?", bytes.len())),
        [first, ..] => Err(format!("the first byte is {first}, not 0 as before a schema id; is the framing bare?")),
        [] => Err("the value is empty".to_string()),
    }
}

/// Takes Avro's marker and fingerprint off (Avro 1.12, Single-object encoding); the fingerprint is CRC-64-AVRO, little endian.
fn single_object(bytes: &[u8], expected: [u8; 8]) -> Result<&[u8], String> {
    let Some((head, value)) = bytes.split_at_checked(10).filter(|(head, _)| head.starts_with(&[0xc3, 0x01])) else {
        return Err(format!("the value does not begin with C3 01 and a fingerprint{}", begins(bytes)));
    };
    if head[2..] != expected {
        let number = |bytes: &[u8]| bytes.iter().rev().map(|b| format!("{b:02x}")).collect::<String>();
        return Err(format!(
            "the value was written with a schema whose fingerprint is {}, the schema's file has {}: give the file that the producer writes with",
            number(&head[2..]),
            number(&expected)
        ));
    }
    Ok(value)
}

/// Takes the header of AWS Glue's serialisers off: version 3, compression, and the id of the schema's version (16 bytes), which is not looked at.
fn glue(bytes: &[u8]) -> Result<&[u8], String> {
    match bytes.split_at_checked(18) {
        Some(([3, 0, ..], value)) => Ok(value),
        Some(([3, 5, ..], _)) => {
            Err("the value is compressed (zlib), which is not read: switch compression off in the producer".to_string())
        }
        Some(([3, other, ..], _)) => {
            Err(format!("the value has the compression {other}, which AWS Glue does not have; is the framing right?"))
        }
        _ => Err(format!("the value does not begin with AWS Glue's header of 18 bytes{}", begins(bytes))),
    }
}

/// What else a value may be, by its first bytes.
fn begins(bytes: &[u8]) -> String {
    let guess = match bytes {
        [] => return ": it is empty".to_string(),
        [0xc3, 0x01, ..] => "is the framing single_object?",
        [0, _, _, _, _, ..] => "is the framing confluent?",
        [3, 0 | 5, ..] if bytes.len() >= 18 => "is the framing glue?",
        _ => "is the framing bare?",
    };
    format!(", but with {:02x}: {guess}", bytes[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use apache_avro::types::Value;
    use apache_avro::{GenericSingleObjectWriter, Schema};

    #[test]
    fn a_single_object_as_another_writes_it_is_opened_by_the_fingerprint_of_its_schema_alone() {
        // Avro's own table of fingerprints has 7195948357588979594 for "null" and -6970731678124411036 for "boolean"
        let [null, boolean] = [7_195_948_357_588_979_594i64, -6_970_731_678_124_411_036].map(i64::to_le_bytes);
        let mut written = Vec::new();
        let schema = Schema::parse_str("\"boolean\"").unwrap();
        GenericSingleObjectWriter::new_with_capacity(&schema, 16).unwrap().write_value(Value::Boolean(true), &mut written).unwrap();
        assert_eq!(Framing::SingleObject.open(&written, boolean), Ok(&[1u8][..]));
        let why = Framing::SingleObject.open(&written, null).unwrap_err();
        assert!(why.contains("9f42fc78a4d4f764") && why.contains("63dd24e7cc258f8a"), "{why}");
        assert!(Framing::SingleObject.open(&[0, 0, 0, 0, 7, 1], null).unwrap_err().ends_with("but with 00: is the framing confluent?"));
        assert!(Framing::SingleObject.open(&[], null).unwrap_err().ends_with("it is empty"));
    }

    #[test]
    fn the_header_of_glue_is_taken_off_and_compressed_values_are_told() {
        let framed = |compression: u8| [&[3, compression][..], &[7; 16], b"value"].concat();
        assert_eq!(Framing::Glue.open(&framed(0), [0; 8]), Ok(&b"value"[..]));
        assert!(Framing::Glue.open(&framed(5), [0; 8]).unwrap_err().contains("compressed (zlib)"));
        assert!(Framing::Glue.open(&framed(1), [0; 8]).unwrap_err().contains("compression 1"));
        assert!(Framing::Glue.open(&framed(0)[..17], [0; 8]).unwrap_err().contains("18 bytes"));
        assert!(Framing::Glue.open(&[0xc3, 1, 0], [0; 8]).unwrap_err().contains("is the framing single_object?"));
    }

    #[test]
    fn five_bytes_are_taken_off() {
        assert_eq!(unframe(&[0, 0, 0, 1, 2, 9, 9]), Ok((SchemaId(258), &[9u8, 9][..])));
        assert_eq!(unframe(&[0, 0, 0, 0, 7]), Ok((SchemaId(7), &[][..])));
        for wrong in [&[][..], &[0, 0, 0, 1], &[1, 0, 0, 0, 1, 2]] {
            assert!(unframe(wrong).is_err());
        }
    }
}
