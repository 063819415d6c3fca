//! Which services stand in which groups: spans of their numbers, so that whoever is added
//! finds its place, and the order of a group never runs against dependencies.

use std::collections::BTreeMap;
use std::ops::Range;

use kennel_core::spec::{GiveUp, RestartLimit};
use kennel_core::{GroupSpec, Member, ServiceSpec, Strategy};

use crate::plan::Pace;
use crate::random::Random;

/// A group of whoever has one of these numbers.
#[derive(Clone)]
pub(crate) struct Span {
    numbers: Range<usize>,
    /// Without its members.
    spec: GroupSpec,
    inner: Vec<Span>,
}

/// How many groups may lie within each other.
const DEEPEST: usize = 3;

/// Groups for the numbers below `end`.
pub(crate) fn random(random: &mut Random, pace: Pace, end: usize) -> Vec<Span> {
    let mut made = 0;
    spans(random, pace, 0..end, DEEPEST, &mut made)
}

fn spans(
    random: &mut Random,
    pace: Pace,
    numbers: Range<usize>,
    depth: usize,
    made: &mut usize,
) -> Vec<Span> {
    let mut found = Vec::new();
    let mut at = numbers.start;
    while depth > 0 && at < numbers.end {
        let end = (at + 1 + random.below(6)).min(numbers.end);
        if random.chance(0.6) {
            let mut spec = GroupSpec::named(format!("g{made}"));
            *made += 1;
            settings(random, pace, &mut spec);
            let inner = spans(random, pace, at..end, depth - 1, made);
            found.push(Span { numbers: at..end, spec, inner });
        }
        at = end;
    }
    found
}

fn settings(random: &mut Random, pace: Pace, spec: &mut GroupSpec) {
    let (window, retry) = match pace {
        Pace::Busy => ((1.0, 600.0), (5.0, 120.0)),
        Pace::Calm => ((600.0, 10.0 * 86_400.0), (3600.0, 86_400.0)),
    };
    spec.strategy = random.pick(&[Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne]);
    spec.intensity = RestartLimit {
        max: random.pick(&[0, 1, 2, 4, 9]),
        within: random.seconds(window.0, window.1),
    };
    spec.on_give_up = match random.below(20) {
        0..=9 => GiveUp::Stay,
        10..=18 => GiveUp::RetryAfter(random.seconds(retry.0, retry.1)),
        _ if pace == Pace::Busy && random.chance(0.3) => GiveUp::Exit,
        _ => GiveUp::Stay,
    };
}

/// Something about one of the groups changes.
pub(crate) fn change(random: &mut Random, pace: Pace, spans: &mut [Span]) {
    if spans.is_empty() {
        return;
    }
    let one = random.below(spans.len());
    let span = &mut spans[one];
    if span.inner.is_empty() || random.chance(0.5) {
        settings(random, pace, &mut span.spec);
    } else {
        change(random, pace, &mut span.inner);
    }
}

/// The groups of these services.
pub(crate) fn groups(spans: &[Span], services: &BTreeMap<usize, ServiceSpec>) -> Vec<GroupSpec> {
    spans.iter().map(|span| group(span, services)).collect()
}

fn group(span: &Span, services: &BTreeMap<usize, ServiceSpec>) -> GroupSpec {
    let mut spec = span.spec.clone();
    for number in span.numbers.clone() {
        match span.inner.iter().find(|inner| inner.numbers.contains(&number)) {
            Some(inner) if inner.numbers.start == number => {
                spec.members.push(Member::Group(group(inner, services)));
            }
            Some(_) => {}
            None => {
                let service = services.get(&number).map(|service| service.name.clone());
                spec.members.extend(service.map(Member::Service));
            }
        }
    }
    spec
}
