//! One signal of a cell: what was counted of it so far, and how it is written.
//!
//! Guarantees: the bytes are those of the form that holds all its values, however many of them were counted before.

use super::rows::Rows;
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
    bins: NumericBins,
}

impl Signal {
    fn numeric(&mut self, edges: impl FnOnce() -> Option<Rc<NumericEdges>>) -> (&mut NumericForm, Option<&NumericEdges>) {
        let (form, edges) = self.numeric.get_or_insert_with(|| {
            let edges = edges();
            (NumericForm::empty(edges.as_deref()), edges)
        });
        (form, edges.as_deref())
    }

    /// Counts a number.
    pub fn number(&mut self, x: f64, hash: u64, edges: impl FnOnce() -> Option<Rc<NumericEdges>>) {
        let (form, edges) = self.numeric(edges);
        form.add(x, hash, edges);
    }

    /// Counts the numbers of a column of `rows`.
    pub fn numbers(&mut self, rows: &mut Rows, place: usize, column: &mut Column, edges: impl FnOnce() -> Option<Rc<NumericEdges>>) {
        rows.values(place, &mut column.values);
        if !column.values.is_empty() {
            match self.numeric(edges) {
                (form, Some(edges)) => form.add_all(&column.values, edges),
                (form, None) => form.learn(&column.values, rows.by_hash(place)),
            }
        }
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

    /// Writes everything, with the numbers in `column` (the values at `place` of `rows`), and forgets it.
    pub fn write(
        &mut self,
        w: &mut Writer,
        (rows, place): (&mut Rows, usize),
        column: &mut Column,
        edges: impl FnOnce() -> Option<Rc<NumericEdges>>,
    ) {
        let values = &mut column.values;
        if self.numeric.is_none() && !values.is_empty() {
            match edges() {
                Some(edges) => NumericForm::write_of(w, values, &edges, &mut column.bins), // needs no form
                None => self.numeric = Some((NumericForm::empty(None), None)),
            }
        }
        if let Some((mut form, edges)) = self.numeric.take() {
            match edges {
                Some(edges) => form.add_all(values, &edges),
                None => form.learn(values, rows.by_hash(place)),
            }
            form.write(w);
        }
        if let Some((form, _)) = self.category.take() {
            form.write(w);
        }
    }
}
