//! The contract with plugins, by version.
//!
//! A file for each frozen version of the package `kennel:plugin` translates between its
//! types and those of `model.rs`. A version that is frozen never changes, and neither does
//! its file: what is new comes as a new interface, or as a new version with a file of its
//! own. The rest of the runtime knows of versions only what stands here.

pub(crate) mod names;
mod v0_1;

use wasmtime::Store;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::engine::store::State;
use crate::model::{Kind, Problem, check, policy, sink};

/// Exports that a component needs to be a plugin of some kind, in the newest version.
pub(crate) use v0_1::PACKAGE as NEWEST;

/// Links what the host offers to plugins of every version.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    v0_1::link(linker)
}

/// A plugin that is ready to be instantiated.
pub(crate) enum Pre {
    V0_1(v0_1::Pre),
}

impl Pre {
    /// Finds the exports of the kinds that a component is of. The names were checked
    /// already; what is checked here are the types.
    pub(crate) fn new(pre: InstancePre<State>, kinds: &[Kind]) -> wasmtime::Result<Self> {
        v0_1::Pre::new(pre, kinds).map(Self::V0_1)
    }

    /// Makes an instance, for one of its kinds.
    pub(crate) async fn instantiate(
        &self,
        store: &mut Store<State>,
        kind: Kind,
    ) -> wasmtime::Result<Instance> {
        match self {
            Self::V0_1(pre) => pre.instantiate(store, kind).await.map(Instance::V0_1),
        }
    }

    /// What it is made of.
    pub(crate) fn component(&self) -> &Component {
        match self {
            Self::V0_1(pre) => pre.component(),
        }
    }
}

/// An instance of a plugin, for one of its kinds.
pub(crate) enum Instance {
    V0_1(v0_1::Instance),
}

impl Instance {
    pub(crate) async fn configure(
        &self,
        store: &mut Store<State>,
        config: &str,
    ) -> wasmtime::Result<Result<(), Vec<Problem>>> {
        match self {
            Self::V0_1(instance) => instance.configure(store, config).await,
        }
    }

    pub(crate) async fn check(
        &self,
        store: &mut Store<State>,
        input: check::Input,
        budget_ms: u32,
    ) -> wasmtime::Result<Result<check::Verdict, String>> {
        match self {
            Self::V0_1(instance) => instance.check(store, input, budget_ms).await,
        }
    }

    pub(crate) async fn decide(
        &self,
        store: &mut Store<State>,
        input: policy::Input,
    ) -> wasmtime::Result<Result<policy::Decision, String>> {
        match self {
            Self::V0_1(instance) => instance.decide(store, input).await,
        }
    }

    pub(crate) async fn deliver(
        &self,
        store: &mut Store<State>,
        batch: sink::Batch,
    ) -> wasmtime::Result<sink::Delivery> {
        match self {
            Self::V0_1(instance) => instance.deliver(store, batch).await,
        }
    }
}
