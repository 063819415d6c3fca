//! A map from instances to something, for look-ups that cost nothing.
//!
//! Settling looks every instance up several times at every input. Ids are small, dense
//! and never used again, so a vector with a place for each is both simplest and fastest;
//! what is left of removed instances is an empty place.

use crate::InstanceId;

#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    places: Vec<Option<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table { places: Vec::new() }
    }
}

impl<T> Table<T> {
    pub(crate) fn get(&self, id: &InstanceId) -> Option<&T> {
        self.places.get(id.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: &InstanceId) -> Option<&mut T> {
        self.places.get_mut(id.0 as usize)?.as_mut()
    }

    pub(crate) fn insert(&mut self, id: InstanceId, value: T) {
        *self.place(id) = Some(value);
    }

    pub(crate) fn remove(&mut self, id: &InstanceId) {
        if let Some(place) = self.places.get_mut(id.0 as usize) {
            *place = None;
        }
    }

    pub(crate) fn contains_key(&self, id: &InstanceId) -> bool {
        self.get(id).is_some()
    }

    /// In the order of ids.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.places.iter().flatten()
    }

    /// In the order of ids.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().flatten()
    }

    fn place(&mut self, id: InstanceId) -> &mut Option<T> {
        let index = id.0 as usize;
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        &mut self.places[index]
    }
}

impl<T: Default> Table<T> {
    pub(crate) fn entry_or_default(&mut self, id: InstanceId) -> &mut T {
        self.place(id).get_or_insert_default()
    }
}
