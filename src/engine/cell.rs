//! Cells: (model, version, values of all dimensions), the finest grain that is summarised. An event touches exactly one.
//!
//! Guarantees: equal keys have equal ids while anything refers to them. Ids are local to one task and never written: on the wire a
//! cell travels by value, in a dictionary.

use hashbrown::HashTable;
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A cell by value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct CellKey {
    /// The model.
    pub model: String,
    /// Its version, if predictions carry one.
    pub version: Option<String>,
    /// Values in the order of `Definitions::dimensions`; a missing value is empty text.
    pub values: Vec<String>,
}

/// A cell's number in one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellId(pub u32);

struct Entry {
    key: CellKey,
    hash: u64,
    rows: u32,
    /// Stamp of the epoch whose journal dictionary holds it, and its number there.
    written: (u64, u32),
    live: bool,
}

/// The cells that a task knows now.
#[derive(Default)]
pub struct Cells {
    entries: Vec<Entry>,
    free: Vec<u32>,
    index: HashTable<u32>,
}

fn mix(hash: u64, part: &str) -> u64 {
    xxh3_64_with_seed(part.as_bytes(), hash.wrapping_add(part.len() as u64 + 1))
}

fn hash_of<'a>(model: &str, version: Option<&str>, values: impl Iterator<Item = &'a str>) -> u64 {
    let hash = mix(0, model);
    let hash = version.map_or(hash ^ 1, |v| mix(hash, v));
    values.fold(hash, mix)
}

impl Cells {
    /// The id of a cell; new cells are added.
    pub fn intern(&mut self, model: &str, version: Option<&str>, values: &[Cow<'_, str>]) -> CellId {
        let hash = hash_of(model, version, values.iter().map(|v| v.as_ref()));
        let entries = &self.entries;
        let same = |ix: &u32| {
            let e = &entries[*ix as usize];
            e.hash == hash
                && e.key.model == model
                && e.key.version.as_deref() == version
                && e.key.values.iter().map(String::as_str).eq(values.iter().map(|v| v.as_ref()))
        };
        if let Some(ix) = self.index.find(hash, same) {
            return CellId(*ix);
        }
        let key = CellKey { model: model.into(), version: version.map(Into::into), values: values.iter().map(|v| v.to_string()).collect() };
        let entry = Entry { key, hash, rows: 0, written: (0, 0), live: true };
        let ix = match self.free.pop() {
            Some(ix) => {
                self.entries[ix as usize] = entry;
                ix
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        let entries = &self.entries;
        self.index.insert_unique(hash, ix, |ix| entries[*ix as usize].hash);
        CellId(ix)
    }

    /// The id of a cell given by value.
    pub fn intern_key(&mut self, key: &CellKey) -> CellId {
        let values: Vec<Cow<'_, str>> = key.values.iter().map(|v| Cow::Borrowed(v.as_str())).collect();
        self.intern(&key.model, key.version.as_deref(), &values)
    }

    /// A cell by value.
    pub fn key(&self, id: CellId) -> &CellKey {
        &self.entries[id.0 as usize].key
    }

    /// A number that depends on the cell's content alone.
    pub fn content_hash(&self, id: CellId) -> u64 {
        self.entries[id.0 as usize].hash
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// A row refers to the cell.
    pub fn hold(&mut self, id: CellId) {
        self.entries[id.0 as usize].rows += 1;
    }

    /// A row no longer refers to it.
    pub fn let_go(&mut self, id: CellId) {
        self.entries[id.0 as usize].rows -= 1;
    }

    /// The cell's number in the dictionary of epoch `stamp`; the flag says that it is new there.
    pub fn dictionary_number(&mut self, id: CellId, stamp: u64, next: u32) -> (u32, bool) {
        let entry = &mut self.entries[id.0 as usize];
        if entry.written.0 == stamp {
            return (entry.written.1, false);
        }
        entry.written = (stamp, next);
        (next, true)
    }

    /// Forgets the cells that no row refers to. Only between epochs: open partials hold ids too.
    pub fn sweep(&mut self) {
        for ix in 0..self.entries.len() as u32 {
            let entry = &mut self.entries[ix as usize];
            if entry.live && entry.rows == 0 {
                entry.live = false;
                if let Ok(found) = self.index.find_entry(entry.hash, |i| *i == ix) {
                    found.remove();
                }
                self.free.push(ix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(v: &[&'static str]) -> Vec<Cow<'static, str>> {
        v.iter().map(|s| Cow::Borrowed(*s)).collect()
    }

    #[test]
    fn equal_keys_share_an_id_and_different_ones_do_not() {
        let mut cells = Cells::default();
        let a = cells.intern("m", None, &values(&["x", "y"]));
        assert_eq!(a, cells.intern("m", None, &values(&["x", "y"])));
        for other in [
            cells.intern("m", None, &values(&["xy", ""])),
            cells.intern("m", Some(""), &values(&["x", "y"])),
            cells.intern("mx", None, &values(&["", "y"])),
        ] {
            assert_ne!(a, other);
        }
    }

    #[test]
    fn a_sweep_keeps_cells_that_rows_refer_to() {
        let mut cells = Cells::default();
        let (a, b) = (cells.intern("m", None, &values(&["a"])), cells.intern("m", None, &values(&["b"])));
        cells.hold(b);
        cells.sweep();
        assert_eq!(cells.len(), 1);
        assert_eq!(cells.intern("m", None, &values(&["b"])), b);
        assert_eq!(cells.intern("m", None, &values(&["c"])), a, "the free place is used again");
    }
}
