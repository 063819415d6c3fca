//! A complete health check: Redis answers PING.
use kennel_plugin::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redis {
    address: String,
}

impl HealthCheck for Redis {
    type Config = Redis;
    type State = ();

    fn new(config: Redis) -> Result<Redis, Problems> {
        Ok(config)
    }

    fn check(&self, _: &CheckInput, _: &mut (), host: &mut Host) -> Result<Verdict, CheckError> {
        let answer = host.tcp(&self.address, Exchange::send("PING\r\n").read(7))?;
        let well = answer == b"+PONG\r\n";
        Ok(if well { Verdict::healthy("PONG") } else { Verdict::unhealthy("no PONG") })
    }
}
kennel_plugin::export!(health_check: Redis);

#[cfg(test)]
mod tests {
    use super::*;
    use kennel_plugin::testing::{Checking, problems};

    #[test]
    fn the_smallest_check_tells_an_answer_from_a_wrong_one_and_from_none() {
        let mut run = Checking::<Redis>::new(r#"{ "address": "127.0.0.1:6379" }"#);
        run.host.on_tcp("127.0.0.1:6379", "+PONG\r\n");
        assert_eq!(run.check().status, Status::Healthy);
        run.host.on_tcp("127.0.0.1:6379", "-LOADIN");
        assert_eq!(run.check().status, Status::Unhealthy);
        run.host.on_tcp("127.0.0.1:6379", ProbeError::Timeout);
        assert_eq!(run.check().status, Status::Late);
        let found = problems(Redis::new, r#"{ "adress": "127.0.0.1:6379" }"#);
        let paths: Vec<&str> = found.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["address", "adress"]);
    }
}
