//! `kennel:plugin@0.1`, as it is frozen in `wit/frozen/0.1.0`.

use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker, Resource};
use wasmtime::{Error, Result};

use crate::hostcalls::HeldChannel;
use crate::model::{self, Kind};
use crate::probe::{Endpoint, ExecOutput, HttpRequest, HttpResponse, ProbeError, Rotate};
use crate::store::State;

/// The version that this file is about.
pub(crate) const PACKAGE: &str = "0.1.0";

/// What the host offers.
mod offered {
    wasmtime::component::bindgen!({
        path: "wit/frozen/0.1.0",
        inline: "
            package kennel:host;
            world offered {
                import kennel:plugin/types@0.1.0;
                import kennel:plugin/log@0.1.0;
                import kennel:plugin/probe@0.1.0;
                import kennel:plugin/connection@0.1.0;
                import kennel:plugin/exec@0.1.0;
                import kennel:plugin/file@0.1.0;
            }
        ",
        world: "kennel:host/offered",
        imports: { "kennel:plugin/log@0.1.0": trappable, default: async | trappable },
        with: { "kennel:plugin/connection@0.1.0.channel": crate::hostcalls::HeldChannel },
    });
}

/// What a plugin exports: every kind apart, so that a component may be of several.
mod exported {
    macro_rules! export {
        ($module:ident, $world:literal) => {
            pub(super) mod $module {
                wasmtime::component::bindgen!({
                    path: "wit/frozen/0.1.0",
                    inline: "
                        package kennel:host;
                        world lifecycle { export kennel:plugin/lifecycle@0.1.0; }
                        world check { export kennel:plugin/health-check@0.1.0; }
                        world policy { export kennel:plugin/restart-policy@0.1.0; }
                        world sink { export kennel:plugin/event-sink@0.1.0; }
                    ",
                    world: $world,
                    exports: { default: async },
                    with: {
                        "kennel:plugin/types@0.1.0":
                            crate::contract::v0_1::offered::kennel::plugin::types,
                    },
                });
            }
        };
    }
    export!(lifecycle, "kennel:host/lifecycle");
    export!(check, "kennel:host/check");
    export!(policy, "kennel:host/policy");
    export!(sink, "kennel:host/sink");
}
