//! What the harness for unit tests of plugins finds.

use std::cell::Cell;

use kennel_plugin::prelude::*;
use kennel_plugin::testing::Checking;

#[derive(Deserialize)]
struct Config {}

/// How many checks there were.
#[derive(Serialize, Deserialize, Default, PartialEq, Debug)]
struct Made(u32);

impl State for Made {}

/// Counts its checks: in the instance, where that is lost, or in the saved state.
struct Counts<const IN_ITSELF: bool> {
    checks: Cell<u32>,
}

impl<const IN_ITSELF: bool> HealthCheck for Counts<IN_ITSELF> {
    type Config = Config;
    type State = Made;

    fn new(_: Config) -> Result<Self, Problems> {
        Ok(Counts { checks: Cell::new(0) })
    }

    fn check(&self, _: &CheckInput, saved: &mut Made, _: &mut Host) -> Result<Verdict, CheckError> {
        saved.0 += 1;
        self.checks.set(self.checks.get() + 1);
        let checks = if IN_ITSELF { self.checks.get() } else { saved.0 };
        Ok(Verdict::healthy(format!("{checks}")))
    }
}

#[test]
fn what_is_saved_is_there_whichever_instance_is_asked() {
    let mut test = Checking::<Counts<false>>::new("{}");
    for expected in ["1", "2", "3"] {
        assert_eq!(test.check().reason, expected);
        test.advance(Duration::from_secs(10));
    }
    assert_eq!(test.state(), Made(3));
}

#[test]
#[should_panic(expected = "what has to be remembered belongs in the saved state")]
fn a_plugin_that_remembers_in_itself_is_found_out_at_its_second_call() {
    let mut test = Checking::<Counts<true>>::new("{}");
    assert_eq!(test.check().reason, "1");
    test.check();
}
