//! Names of the signals of an entry, by the signal's place in it.

use crate::codec::event::FeatureIx;
use std::sync::Arc;

/// Names, each made once.
pub struct SignalNames {
    names: Vec<Arc<str>>,
    /// Places in the order of names: signals are written in it.
    sorted: Vec<usize>,
    own: usize,
}

impl SignalNames {
    /// Of signals that every entry of the kind may have.
    pub fn of(own: &[&str]) -> SignalNames {
        let mut names = SignalNames { names: own.iter().map(|n| Arc::from(*n)).collect(), sorted: Vec::new(), own: own.len() };
        names.sort();
        names
    }

    fn sort(&mut self) {
        self.sorted = (0..self.names.len()).collect();
        self.sorted.sort_by(|a, b| self.names[*a].cmp(&self.names[*b]));
    }

    /// Knows every place below `end`.
    pub fn extend(&mut self, end: usize, name: impl Fn(FeatureIx) -> String) {
        if self.names.len() < end {
            let new = self.names.len()..end;
            self.names.extend(new.map(|place| Arc::from(super::feature_signal(&name(FeatureIx((place - self.own) as u32))))));
            self.sort();
        }
    }

    /// The name at a place.
    pub fn at(&self, place: usize) -> &Arc<str> {
        &self.names[place]
    }

    /// All places in the order of their names.
    pub fn sorted(&self) -> &[usize] {
        &self.sorted
    }
}
