//! What the operator is told of what an earlier supervisor left.

use std::sync::Arc;

use super::news::Attributes;
use super::recall::Boot;
use crate::config::Config;
use crate::journal::Repaired;
use crate::state::{Damage, IdSource, Table};

/// So many names at most are told.
const NAMES_MAX: usize = 10;

/// Something that the operator is told, of an instance or of all: an event.
pub(crate) struct Note {
    pub(super) kind: &'static str,
    pub(super) instance: Option<Arc<str>>,
    pub(super) text: String,
    pub(super) attributes: Attributes,
}

impl Note {
    /// Of an instance.
    pub(super) fn of(instance: &Arc<str>, kind: &'static str, text: String) -> Note {
        Note { kind, instance: Some(instance.clone()), text, attributes: Attributes::new() }
    }

    /// Of the state directory.
    pub(super) fn of_state(text: String) -> Note {
        Note { kind: "supervisor.state", instance: None, text, attributes: Attributes::new() }
    }
}

/// In which condition the state directory was found.
pub(super) struct Condition<'a> {
    pub(super) table: &'a Table,
    pub(super) damage: Option<&'a Damage>,
    pub(super) journal: Option<Repaired>,
    pub(super) id_source: IdSource,
    /// A supervisor has worked with it before.
    pub(super) was_used: bool,
    pub(super) boot: Boot,
    pub(super) is_same_host: bool,
}

impl Condition<'_> {
    /// What of that is no matter of course.
    pub(super) fn notes(&self, config: &Config) -> Vec<Note> {
        let table = self.table_is_damaged(config);
        let journal = self.journal_is_damaged();
        let texts = [table, journal, self.id_is_another(), self.is_of_elsewhere()];
        texts.into_iter().flatten().map(Note::of_state).collect()
    }

    fn table_is_damaged(&self, config: &Config) -> Option<String> {
        let what = match self.damage {
            Some(Damage { aside, reason }) => format!(
                "the run table is damaged ({reason}) and was moved to \"{}\"; what can be known \
                 of earlier runs is taken from it and from their processes",
                aside.display()
            ),
            None if self.was_used && *self.table == Table::default() => {
                "the run table is gone; what can be known of earlier runs is taken from their \
                 processes"
                    .to_owned()
            }
            None => return None,
        };
        let forgotten = forgotten(config, self.table);
        Some(format!(
            "{what}. What the operator has stopped or started may be forgotten{forgotten}"
        ))
    }

    fn journal_is_damaged(&self) -> Option<String> {
        match &self.journal {
            Some(Repaired { bytes, kept: Some(kept) }) => Some(format!(
                "the journal is damaged: {bytes} bytes that cannot be read were moved to \"{}\"; \
                 the numbers go on behind those of the events that were in them",
                kept.display()
            )),
            None if !self.was_used && *self.table != Table::default() => Some(
                "the journal is gone: what happened before is not known, and the numbers of \
                 events begin at 1"
                    .to_owned(),
            ),
            // A crash has cut one record short.
            Some(Repaired { bytes: _, kept: None }) | None => None,
        }
    }

    fn id_is_another(&self) -> Option<String> {
        match self.id_source {
            IdSource::File => None,
            IdSource::Table => Some(
                "the file \"id\" of the state directory was damaged or gone; the id was taken \
                 from the run table"
                    .to_owned(),
            ),
            IdSource::New if self.was_used => Some(
                "the id of the state directory was lost and it has a new one: processes of \
                 earlier runs are not known by their mark any more"
                    .to_owned(),
            ),
            IdSource::New => None,
        }
    }

    fn is_of_elsewhere(&self) -> Option<String> {
        match (self.boot, self.is_same_host) {
            (Boot::Same, _) => None,
            (Boot::Another, true) => Some(
                "the state is of an earlier boot: no run is left, what the operator wanted holds"
                    .to_owned(),
            ),
            (Boot::Another, false) => Some(
                "the state was written on another host: its runs are not looked for here, what \
                 the operator wanted holds"
                    .to_owned(),
            ),
        }
    }
}

/// The services of which nothing is remembered.
fn forgotten(config: &Config, table: &Table) -> String {
    let is_known = |name: &str| table.instances.keys().any(|who| who.service == name);
    let services = config.services.iter().map(|service| &*service.spec.name);
    let names: Vec<&str> = services.filter(|name| !is_known(name)).collect();
    let told = names[..names.len().min(NAMES_MAX)].join(", ");
    match names.len() {
        0 => String::new(),
        1..=NAMES_MAX => format!(": nothing is remembered of {told}"),
        many => format!(": nothing is remembered of {told} and {} more", many - NAMES_MAX),
    }
}
