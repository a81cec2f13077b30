//! The schemas that formats name: read from their files, and a source's places looked for in them.
//!
//! Comes from: `raw::Format`. Goes to: `settings::Format`, which has what is in the files: nobody reads them again.

use super::{Context, schema_paths};
use crate::codec::avro::Parsed;
use crate::codec::framing::Framing;
use crate::codec::protobuf::Schema;
use crate::codec::shape::Referred;
use crate::config::load::{read_bytes, read_text};
use crate::config::nearest::advice;
use crate::config::settings::{Format, Source};
use crate::config::{raw, shape::Path};
use crate::engine::types::Input;
use std::path::{Path as FilePath, PathBuf};

const RELATIVE: &str = "relative paths start at the configuration's folder";
/// Files that a .proto file may import, directly or not; as many as a registry's schema may refer to.
const MAX_IMPORTS: usize = 256;

/// Driftline's own schema.
pub(super) fn own(input: Input, own: (&str, &str), source: &mut Source, explicit: &[&str], context: &mut Context<'_>) {
    let format = Format::Avro { path: PathBuf::from(own.0), schema: own.1.to_string(), framing: Framing::Bare };
    avro_format(input, format, source, explicit, context);
}

/// Avro by a file.
pub(super) fn avro(input: Input, typed: &raw::AvroSource, source: &mut Source, explicit: &[&str], context: &mut Context<'_>) {
    let Some(file) = &typed.schema else { return };
    let path = context.base_dir.join(&file.0);
    match read_text(&path) {
        Ok(schema) => {
            let framing = match typed.framing {
                raw::AvroFraming::Bare => Framing::Bare,
                raw::AvroFraming::Confluent => Framing::Confluent,
                raw::AvroFraming::SingleObject => Framing::SingleObject,
                raw::AvroFraming::Glue => Framing::Glue,
            };
            let format = Format::Avro { path, schema, framing };
            avro_format(input, format, source, explicit, context);
        }
        Err(e) => {
            let message = format!("the schema {} can't be read: {e}", path.display());
            context.problem(Path::of(&[input.word(), "format", "avro", "schema"]), message, RELATIVE);
        }
    }
}

fn avro_format(input: Input, format: Format, source: &mut Source, explicit: &[&str], context: &mut Context<'_>) {
    if let Format::Avro { schema, path, .. } = &format {
        match Parsed::of(schema, &[]) {
            Ok(parsed) => schema_paths::check(input, &parsed.types(), source, explicit, context),
            Err(why) => {
                context.problem(Path::of(&[input.word(), "format", "avro", "schema"]), format!("{}: {why}", path.display()), "");
            }
        }
    }
    source.format = format;
}

/// Protobuf by a file.
pub(super) fn protobuf(input: Input, typed: &raw::ProtobufSource, source: &mut Source, explicit: &[&str], context: &mut Context<'_>) {
    let (Some(file), Some(name)) = (&typed.descriptors, &typed.message) else { return };
    let place = |key: &str| Path::of(&[input.word(), "format", "protobuf", key]);
    let path = context.base_dir.join(&file.0);
    let schema = match schema_of(&path) {
        Ok(schema) => schema,
        Err(why) => return context.problem(place("descriptors"), format!("{}: {why}", path.display()), RELATIVE),
    };
    let Some(message) = schema.message(&name.0) else {
        let names = schema.names();
        let hint = match advice(&name.0, names.iter().map(String::as_str)) {
            hint if hint.is_empty() => "write its full name, with its package".to_string(),
            hint => hint,
        };
        return context.problem(place("message"), format!("{} has no message \"{}\"", path.display(), name.0), hint);
    };
    schema_paths::check(input, &message, source, explicit, context);
    let confluent = typed.framing == raw::Framing::Confluent;
    source.format = Format::Protobuf { path, set: schema.to_set().into(), message: name.0.clone(), confluent };
}

/// The message types of a file: a .proto file with what it imports, or compiled descriptors.
pub fn schema_of(path: &FilePath) -> Result<Schema, String> {
    let unread = |e: std::io::Error| format!("it can't be read: {e}");
    if path.extension().is_none_or(|kind| kind != "proto") {
        return Schema::of_set(&read_bytes(path).map_err(unread)?);
    }
    let text = read_text(path).map_err(unread)?;
    let folder = path.parent().unwrap_or(FilePath::new(""));
    let (mut imports, mut others): (_, Vec<Referred>) = (Schema::imports(&text), Vec::new());
    while let Some(name) = imports.pop() {
        if others.iter().any(|other| other.name == name) {
            continue;
        }
        if others.len() >= MAX_IMPORTS {
            return Err(format!("it imports more than {MAX_IMPORTS} files"));
        }
        let text = read_text(&folder.join(&name)).map_err(|e| format!("it imports \"{name}\", which can't be read in its folder: {e}"))?;
        imports.extend(Schema::imports(&text));
        others.push(Referred { name, text });
    }
    Schema::of_text(&text, &others)
}
