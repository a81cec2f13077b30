//! One signal of a cell: what was counted of it so far, and how it is written.
//!
//! Guarantees: the bytes are those of the form that holds all its values, however many of them were counted before.

use crate::codec::wire::Writer;
use crate::engine::summary::category::Categories;
use crate::engine::summary::form::{CategoryForm, NumericForm};
use crate::engine::summary::numeric::{NumericBins, NumericEdges};
use std::rc::Rc;

/// What was counted already; numbers may still stand in `Rows`.
#[derive(Default)]
pub struct Signal {
    numeric: Option<(NumericForm, Option<Rc<NumericEdges>>)>,
    category: Option<(CategoryForm, Option<Rc<Categories>>)>,
}

/// A column of numbers, and room to count it in.
#[derive(Default)]
pub struct Column {
    /// The values.
    pub values: Vec<f64>,
    /// Sample hashes of their events.
    pub hashes: Vec<u64>,
    bins: NumericBins,
}

impl Signal {
    /// Counts numbers.
    pub fn numbers(&mut self, values: &[f64], hashes: &[u64], edges: impl FnOnce() -> Option<Rc<NumericEdges>>) {
        let (form, edges) = self.numeric.get_or_insert_with(|| {
            let edges = edges();
            (NumericForm::empty(edges.as_deref()), edges)
        });
        form.add_all(values, hashes, edges.as_deref());
    }

    /// Counts a text.
    pub fn text(&mut self, value: &str, hash: u64, categories: impl FnOnce() -> Option<Rc<Categories>>) {
        let (form, categories) = self.category.get_or_insert_with(|| {
            let categories = categories();
            (CategoryForm::empty(categories.as_deref()), categories)
        });
        form.add(value, hash, categories.as_deref());
    }

    /// Whether there is anything: bit 0 for numbers (counted, or in `column`), bit 1 for texts.
    pub fn forms(&self, column: &Column) -> u8 {
        u8::from(self.numeric.is_some() || !column.values.is_empty()) | u8::from(self.category.is_some()) << 1
    }

    /// Writes everything, with the numbers in `column`, and forgets it.
    pub fn write(&mut self, w: &mut Writer, column: &mut Column, edges: impl FnOnce() -> Option<Rc<NumericEdges>>) {
        match self.numeric.take() {
            Some((mut form, edges)) => {
                form.add_all(&column.values, &column.hashes, edges.as_deref());
                form.write(w);
            }
            None if column.values.is_empty() => {}
            None => NumericForm::write_of(w, &mut column.values, &column.hashes, edges().as_deref(), &mut column.bins),
        }
        if let Some((form, _)) = self.category.take() {
            form.write(w);
        }
    }
}
