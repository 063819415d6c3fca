//! Stock plugin `http`.
#![forbid(unsafe_code)]

use kennel_plugin::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    url: String,
}

struct Http {
    config: Config,
}

impl HealthCheck for Http {
    type Config = Config;
    type State = ();

    fn new(config: Config) -> Result<Self, Problems> {
        Ok(Http { config })
    }

    fn check(&self, _: &CheckInput, _: &mut (), host: &mut Host) -> Result<Verdict, CheckError> {
        let answer = host.http(Request::get(&self.config.url))?;
        Ok(if answer.status == 200 {
            Verdict::healthy("200")
        } else {
            Verdict::unhealthy(format!("status {}", answer.status))
        })
    }
}

kennel_plugin::export!(health_check: Http);
