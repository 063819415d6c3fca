//! What stands under `config:`.

use kennel_plugin::Text;
use kennel_plugin::prelude::*;

use crate::Level;

/// One level, or several.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How many restarts are affordable.
    intensity: Option<Text>,
    /// In how much time.
    period: Option<Period>,
    /// How long each waits.
    restart_after: Option<Period>,
    /// Several levels instead of one.
    levels: Option<Vec<RawLevel>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLevel {
    intensity: Text,
    period: Period,
    restart_after: Option<Period>,
}

/// More restarts are not counted: each is remembered.
const INTENSITY_MAX: u32 = 1000;

impl Config {
    pub(crate) fn check(self) -> Result<Vec<Level>, Problems> {
        let Config { intensity, period, restart_after, levels } = self;
        let mut problems = Problems::new();
        let raw: Vec<(String, RawLevel)> = match (intensity, period, restart_after, levels) {
            (None, None, None, Some(levels)) => {
                problems.require(!levels.is_empty(), "levels", "no level");
                let path = |index| format!("levels[{index}].");
                levels.into_iter().enumerate().map(|(i, level)| (path(i), level)).collect()
            }
            (Some(intensity), Some(period), restart_after, None) => {
                vec![(String::new(), RawLevel { intensity, period, restart_after })]
            }
            (_, _, _, Some(_)) => {
                problems.add("levels", "intensity, period and restart_after belong to a level");
                Vec::new()
            }
            (_, _, _, None) => {
                problems.add("", "intensity and period, or levels, have to say what is affordable");
                Vec::new()
            }
        };
        let last = raw.len().saturating_sub(1);
        let mut checked = Vec::with_capacity(raw.len());
        for (index, (path, level)) in raw.into_iter().enumerate() {
            let level = check_level(&path, level, &mut problems);
            if index < last && level.as_ref().is_some_and(|level| level.intensity.is_none()) {
                let why = "the levels below it are never reached";
                problems.add(format!("{path}intensity"), why);
            }
            checked.extend(level);
        }
        problems.into_result()?;
        Ok(checked)
    }
}

fn check_level(path: &str, raw: RawLevel, problems: &mut Problems) -> Option<Level> {
    let RawLevel { intensity, period, restart_after } = raw;
    let intensity = problems.take(&format!("{path}intensity"), read_intensity(&intensity));
    let (period, restart_after) = (period.0, restart_after.map(|delay| delay.0));
    if period.is_zero() {
        problems.add(format!("{path}period"), "there is no time in 0s");
        return None;
    }
    let delay = restart_after.unwrap_or_default();
    let restarts = intensity?.unwrap_or(1);
    if delay.checked_mul(restarts).is_none_or(|all| all >= period) && !delay.is_zero() {
        let what = match restarts {
            1 => "one restart with its wait takes".to_owned(),
            _ => format!("{restarts} restarts with their waits take"),
        };
        let why = format!("{what} at least as long: the level could never be used up");
        problems.add(format!("{path}period"), why);
        return None;
    }
    Some(Level { intensity: intensity?, period, restart_after })
}

/// Reads `5` or `unlimited`.
fn read_intensity(text: &str) -> Result<Option<u32>, String> {
    match text.parse::<u32>() {
        Ok(number) if number <= INTENSITY_MAX => Ok(Some(number)),
        Err(_) if text == "unlimited" => Ok(None),
        Ok(_) | Err(_) => Err(format!(
            "\"{text}\" is no number of restarts: write 0 to {INTENSITY_MAX}, or unlimited"
        )),
    }
}
