//! Tables: rows of a file with named columns, as training data lie around.
//!
//! Guarantees: a column is numbers or texts as it would be in the stream: JSON and Avro say which, and a column of a CSV file is numbers if
//! all of its values can be, and truth if all of them are (`True` is `true` then, as JSON has it); an empty place of a CSV file, null and
//! missing values by name (`NA`, `null`, `None`) are missing.
//! Never: joins, filters or samples.
//! Comes from: a file, read twice or thrice. Goes to: `build`.

use super::build::{Cell, Names, Row};
use crate::codec::event::{Value, beginning, canonical_text};
use crate::engine::book::{LABEL, SCORE, feature_signal};
use apache_avro::types::Value as Avro;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Bytes of a block, a text or a list in an Avro file: it is refused before room is made for more.
const LONGEST_BLOCK: usize = 64 << 20;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Comma-separated values with a line of names first
    Csv,
    /// The same with tabs
    Tsv,
    /// One JSON object a line
    Jsonl,
    /// An Avro container file of records
    Avro,
}

impl Kind {
    /// By the file's name.
    pub fn of(path: &Path) -> Result<Kind, String> {
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("csv") => Ok(Kind::Csv),
            Some("tsv") => Ok(Kind::Tsv),
            Some("jsonl" | "ndjson" | "json") => Ok(Kind::Jsonl),
            Some("avro") => Ok(Kind::Avro),
            Some("parquet") => Err(format!(
                "{}: Parquet is not read; write it as CSV or JSON lines first, for example by `duckdb -c \"COPY 'train.parquet' TO 'train.csv'\"`",
                path.display()
            )),
            _ => Err(format!("{}: say by --format how it is written: csv, tsv, jsonl or avro", path.display())),
        }
    }
}

/// What columns are.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// The column of the score.
    pub score: Option<String>,
    /// The column of the predicted class.
    pub label: Option<String>,
    /// Columns that are none.
    pub ignored: BTreeSet<String>,
    /// Columns of texts, whatever they look like.
    pub texts: BTreeSet<String>,
    /// Features that the model has; none: any.
    pub features: Option<BTreeSet<String>>,
    /// What stands before features' names in a column's (`features.`), if anything does.
    pub prefix: String,
}

impl Columns {
    /// The signal of a column, or why it is none.
    fn signal(&self, column: &str) -> Result<String, &'static str> {
        if self.score.as_deref() == Some(column) {
            return Ok(SCORE.into());
        }
        if self.label.as_deref() == Some(column) {
            return Ok(LABEL.into());
        }
        if self.ignored.contains(column) {
            return Err("ignored");
        }
        let feature = column.strip_prefix(&self.prefix).unwrap_or(column);
        if self.ignored.contains(feature) {
            return Err("ignored");
        }
        if self.features.as_ref().is_some_and(|known| !known.contains(feature)) {
            return Err("not among predictions.fields.features");
        }
        Ok(feature_signal(feature))
    }

    fn is_text(&self, column: &str) -> bool {
        self.texts.contains(column) || self.label.as_deref() == Some(column)
    }
}

/// A file whose columns are known.
pub struct Table {
    path: PathBuf,
    kind: Kind,
    columns: Columns,
    /// Columns of a CSV file that hold numbers.
    numeric: BTreeSet<String>,
    /// Columns of a CSV file that hold truth values.
    truth: BTreeSet<String>,
    /// Names of signals.
    pub names: Names,
    /// Columns that are no signal, and why.
    pub left_out: BTreeMap<String, String>,
    signals: BTreeMap<String, Option<usize>>,
}

fn unread(path: &Path, e: impl std::fmt::Display) -> String {
    format!("{}: {e}", path.display())
}

/// What all values of a column are.
#[derive(Clone, Copy)]
struct AllOf {
    numbers: bool,
    truth: bool,
}

/// How the values of a CSV column are read.
#[derive(Clone, Copy)]
enum Read {
    Number,
    Truth,
    /// A class: `1.0` is the class `1`, as in the stream.
    Class,
    Text,
}

fn is_truth(text: &str) -> bool {
    matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE")
}

fn is_missing(text: &str) -> bool {
    matches!(text.trim(), "" | "NA" | "N/A" | "null" | "NULL" | "None")
}

impl Table {
    /// Opens a file; one of separated values is read once to know which columns are numbers. `seen` hears of each row.
    pub fn open(path: &Path, kind: Kind, columns: Columns, seen: &mut dyn FnMut()) -> Result<Table, String> {
        let mut table = Table {
            path: path.to_path_buf(),
            kind,
            columns,
            numeric: BTreeSet::new(),
            truth: BTreeSet::new(),
            names: Names::default(),
            left_out: BTreeMap::new(),
            signals: BTreeMap::new(),
        };
        if let Kind::Csv | Kind::Tsv = kind {
            let mut reader = table.separated()?;
            let header = reader.headers().map_err(|e| unread(path, e))?.clone();
            let mut all: Vec<Option<AllOf>> = vec![None; header.len()];
            for record in reader.records() {
                let record = record.map_err(|e| unread(path, e))?;
                for (all, text) in all.iter_mut().zip(&record).filter(|(_, text)| !is_missing(text)) {
                    let (before, text) = (all.unwrap_or(AllOf { numbers: true, truth: true }), text.trim());
                    let numbers = before.numbers && text.parse::<f64>().is_ok();
                    *all = Some(AllOf { numbers, truth: before.truth && is_truth(text) });
                }
                seen();
            }
            let named =
                |is: fn(AllOf) -> bool| header.iter().zip(&all).filter(move |(_, all)| all.is_some_and(is)).map(|c| c.0.to_string());
            (table.numeric, table.truth) = (named(|all| all.numbers).collect(), named(|all| all.truth).collect());
            let absent = |named: &Option<String>| named.clone().filter(|name| !header.iter().any(|column| column == name));
            if let Some(absent) = absent(&table.columns.score).or(absent(&table.columns.label)) {
                let there: Vec<&str> = header.iter().take(20).collect();
                return Err(unread(path, format!("no column is called \"{absent}\"; there are {}", there.join(", "))));
            }
        }
        Ok(table)
    }

    fn separated(&self) -> Result<csv::Reader<File>, String> {
        let delimiter = if self.kind == Kind::Tsv { b'\t' } else { b',' };
        csv::ReaderBuilder::new().delimiter(delimiter).from_path(&self.path).map_err(|e| unread(&self.path, e))
    }

    /// All rows, from the first one on.
    pub fn each(&mut self, sink: &mut dyn FnMut(Row)) -> Result<(), String> {
        match self.kind {
            Kind::Csv | Kind::Tsv => self.each_separated(sink),
            Kind::Jsonl => self.each_line(sink),
            Kind::Avro => self.each_record(sink),
        }
    }

    fn signal(&mut self, column: &str) -> Option<usize> {
        if let Some(known) = self.signals.get(column) {
            return *known;
        }
        let signal = match self.columns.signal(column) {
            Ok(signal) => Some(self.names.number(&signal)),
            Err(why) => {
                self.left_out.insert(column.to_string(), why.to_string());
                None
            }
        };
        self.signals.insert(column.to_string(), signal);
        signal
    }

    fn text(&self, text: &str) -> Cell {
        Cell::Text(beginning(Cow::Borrowed(text)).into_owned())
    }

    fn number(&self, column: &str, x: f64) -> Cell {
        if self.columns.is_text(column) { Cell::Text(number_text(x)) } else { Cell::Number(x) }
    }

    fn read_as(&self, column: &str) -> Read {
        if self.columns.label.as_deref() == Some(column) {
            Read::Class
        } else if self.columns.texts.contains(column) {
            Read::Text
        } else if self.numeric.contains(column) {
            Read::Number
        } else if self.truth.contains(column) {
            Read::Truth
        } else {
            Read::Text
        }
    }

    fn each_separated(&mut self, sink: &mut dyn FnMut(Row)) -> Result<(), String> {
        let mut reader = self.separated()?;
        let header = reader.headers().map_err(|e| unread(&self.path, e))?.clone();
        let places: Vec<(Option<usize>, Read)> = header.iter().map(|column| (self.signal(column), self.read_as(column))).collect();
        for record in reader.records() {
            let record = record.map_err(|e| unread(&self.path, e))?;
            let mut row = Row::new();
            for ((signal, read), text) in places.iter().zip(&record).filter(|(_, text)| !is_missing(text)) {
                let cell = match (read, text.trim().parse::<f64>()) {
                    (Read::Number, Ok(x)) => Cell::Number(x),
                    (Read::Class, Ok(x)) => Cell::Text(number_text(x)),
                    (Read::Truth, _) => Cell::Text(text.trim().to_ascii_lowercase()),
                    _ => self.text(text),
                };
                row.extend(signal.map(|signal| (signal, cell)));
            }
            sink(row);
        }
        Ok(())
    }

    fn each_line(&mut self, sink: &mut dyn FnMut(Row)) -> Result<(), String> {
        let file = File::open(&self.path).map_err(|e| unread(&self.path, e))?;
        for (i, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|e| unread(&self.path, e))?;
            if line.trim().is_empty() {
                continue;
            }
            let object: Json = serde_json::from_str(&line).map_err(|e| format!("{}:{}: {e}", self.path.display(), i + 1))?;
            let Json::Object(_) = object else {
                return Err(format!("{}:{}: a JSON object is wanted on each line", self.path.display(), i + 1));
            };
            let mut row = Row::new();
            self.flatten_json("", &object, &mut row);
            sink(row);
        }
        Ok(())
    }

    fn flatten_json(&mut self, column: &str, value: &Json, row: &mut Row) {
        let cell = match value {
            Json::Null => return,
            Json::Object(entries) => {
                for (name, value) in entries {
                    let column = if column.is_empty() { name.clone() } else { format!("{column}.{name}") };
                    self.flatten_json(&column, value, row);
                }
                return;
            }
            Json::Array(_) => return self.is_list(column),
            Json::Bool(b) => Cell::Text(b.to_string()),
            Json::Number(x) => self.number(column, x.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => self.text(text),
        };
        row.extend(self.signal(column).map(|signal| (signal, cell)));
    }

    fn is_list(&mut self, column: &str) {
        self.left_out.entry(column.to_string()).or_insert_with(|| "a list: no signal of its own".to_string());
    }

    fn each_record(&mut self, sink: &mut dyn FnMut(Row)) -> Result<(), String> {
        let file = File::open(&self.path).map_err(|e| unread(&self.path, e))?;
        let path = self.path.clone();
        apache_avro::util::max_allocation_bytes(LONGEST_BLOCK);
        let reader = apache_avro::Reader::new(BufReader::new(file)).map_err(|e| unread(&path, e))?;
        for value in reader {
            let value = value.map_err(|e| unread(&path, e))?;
            let mut row = Row::new();
            self.flatten_avro("", &value, &mut row);
            sink(row);
        }
        Ok(())
    }

    fn flatten_avro(&mut self, column: &str, value: &Avro, row: &mut Row) {
        let below = |name: &str| if column.is_empty() { name.to_string() } else { format!("{column}.{name}") };
        let cell = match value {
            Avro::Null => return,
            Avro::Union(_, inner) => return self.flatten_avro(column, inner, row),
            Avro::Record(fields) => return fields.iter().for_each(|(name, value)| self.flatten_avro(&below(name), value, row)),
            Avro::Map(entries) => {
                let mut sorted: Vec<_> = entries.iter().collect();
                sorted.sort_by_key(|entry| entry.0);
                return sorted.into_iter().for_each(|(name, value)| self.flatten_avro(&below(name), value, row));
            }
            Avro::Boolean(b) => Cell::Text(b.to_string()),
            Avro::Int(x) | Avro::Date(x) | Avro::TimeMillis(x) => self.number(column, f64::from(*x)),
            Avro::Long(x) | Avro::TimeMicros(x) | Avro::TimestampMillis(x) | Avro::TimestampMicros(x) => self.number(column, *x as f64),
            Avro::Float(x) => self.number(column, f64::from(*x)),
            Avro::Double(x) => self.number(column, *x),
            Avro::String(text) | Avro::Enum(_, text) => self.text(text),
            _ => return self.is_list(column),
        };
        row.extend(self.signal(column).map(|signal| (signal, cell)));
    }
}

/// A number that is a text in the stream: `3` rather than `3.0`.
fn number_text(x: f64) -> String {
    canonical_text(Value::Number(x)).map_or_else(String::new, Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Named = Vec<(String, Cell)>;

    fn read(name: &str, content: &[u8], columns: Columns) -> (Vec<Named>, BTreeMap<String, String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let mut table = Table::open(&path, Kind::of(&path).unwrap(), columns, &mut || ()).unwrap();
        let mut rows = Vec::new();
        table.each(&mut |row| rows.push(row)).unwrap();
        let named = rows.into_iter().map(|row| row.into_iter().map(|(i, cell)| (table.names.name(i).to_string(), cell)).collect());
        (named.collect(), table.left_out)
    }

    fn number(name: &str, x: f64) -> (String, Cell) {
        (name.to_string(), Cell::Number(x))
    }

    fn text(name: &str, text: &str) -> (String, Cell) {
        (name.to_string(), Cell::Text(text.to_string()))
    }

    #[test]
    fn a_column_of_a_csv_file_is_numbers_if_all_its_values_are() {
        let columns = Columns {
            score: Some("p".into()),
            label: Some("c".into()),
            ignored: ["id".to_string()].into(),
            texts: ["zip".to_string()].into(),
            ..Columns::default()
        };
        let (rows, left_out) = read(
            "t.csv",
            b"id,p,amount,plan,zip,odd,new,said,c\n1,.5,3,basic,01234,1,True,True,1.0\n2,0.25,,\"a, b\",99,x,false,maybe,0\n",
            columns,
        );
        assert_eq!(
            rows,
            [
                vec![
                    number("score", 0.5),
                    number("feature:amount", 3.0),
                    text("feature:plan", "basic"),
                    text("feature:zip", "01234"),
                    text("feature:odd", "1"),
                    text("feature:new", "true"),
                    text("feature:said", "True"),
                    text("label", "1")
                ],
                vec![
                    number("score", 0.25),
                    text("feature:plan", "a, b"),
                    text("feature:zip", "99"),
                    text("feature:odd", "x"),
                    text("feature:new", "false"),
                    text("feature:said", "maybe"),
                    text("label", "0")
                ],
            ]
        );
        assert_eq!(left_out, BTreeMap::from([("id".to_string(), "ignored".to_string())]));
    }

    #[test]
    fn json_lines_say_what_is_a_number_and_nested_objects_have_dotted_names() {
        let known = Some(["amount".to_string(), "card.kind".to_string(), "new".to_string()].into());
        let columns = Columns { label: Some("class".into()), features: known, ..Columns::default() };
        let lines = b"{\"amount\": 3, \"card\": {\"kind\": \"x\", \"age\": 1}, \"new\": true, \"class\": 1, \"list\": [1]}\n\n{\"amount\": null, \"new\": \"7\"}\n";
        let (rows, left_out) = read("t.jsonl", lines, columns);
        assert_eq!(
            rows,
            [
                vec![number("feature:amount", 3.0), text("feature:card.kind", "x"), text("label", "1"), text("feature:new", "true")],
                vec![text("feature:new", "7")]
            ]
        );
        assert_eq!(left_out.keys().map(String::as_str).collect::<Vec<_>>(), ["card.age", "list"]);
    }

    #[test]
    fn avro_containers_are_read_through_unions() {
        let schema = apache_avro::Schema::parse_str(
            r#"{"type":"record","name":"r","fields":[{"name":"a","type":["null","double"]},{"name":"b","type":"string"}]}"#,
        )
        .unwrap();
        let mut writer = apache_avro::Writer::new(&schema, Vec::new()).unwrap();
        for a in [Some(1.5), None] {
            let mut record = apache_avro::types::Record::new(&schema).unwrap();
            record.put("a", a);
            record.put("b", "x");
            writer.append_value(record).unwrap();
        }
        let (rows, _) = read("t.avro", &writer.into_inner().unwrap(), Columns::default());
        assert_eq!(rows, [vec![number("feature:a", 1.5), text("feature:b", "x")], vec![text("feature:b", "x")]]);
    }

    #[test]
    fn what_can_t_be_read_is_told_with_its_line_or_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        std::fs::write(&path, "{\"a\": 1}\n[1]\n").unwrap();
        let mut table = Table::open(&path, Kind::Jsonl, Columns::default(), &mut || ()).unwrap();
        assert!(table.each(&mut |_| ()).unwrap_err().ends_with("t.jsonl:2: a JSON object is wanted on each line"));
        assert!(Kind::of(Path::new("x.parquet")).unwrap_err().contains("duckdb"));
        assert!(Kind::of(Path::new("x")).unwrap_err().contains("--format"));
        std::fs::write(folder.path().join("t.csv"), "a,b\n1,2\n").unwrap();
        let absent = Columns { score: Some("p".into()), ..Columns::default() };
        let wrong = Table::open(&folder.path().join("t.csv"), Kind::Csv, absent, &mut || ()).err().unwrap();
        assert!(wrong.ends_with("no column is called \"p\"; there are a, b"), "{wrong}");
    }
}
