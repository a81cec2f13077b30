//! What stands before a value: nothing, or Confluent's magic byte and the schema's id.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_bytes_are_taken_off() {
        assert_eq!(unframe(&[0, 0, 0, 1, 2, 9, 9]), Ok((SchemaId(258), &[9u8, 9][..])));
        assert_eq!(unframe(&[0, 0, 0, 0, 7]), Ok((SchemaId(7), &[][..])));
        for wrong in [&[][..], &[0, 0, 0, 1], &[1, 0, 0, 0, 1, 2]] {
            assert!(unframe(wrong).is_err());
        }
    }
}
