//! `kennel reload`

use super::connect::{block_on, client};
use super::plan::{FormatArgs, print};
use super::{Failure, Global, Outcome};

pub(super) fn reload(global: &Global, args: &FormatArgs) -> Outcome {
    let client = client(global)?;
    let plan = block_on(async {
        let failed = |error| Failure::of_reload(error, "reload", "; nothing was changed");
        client.reload().await.map_err(failed)
    })?;
    print(&plan, args.json)
}
