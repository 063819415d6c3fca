//! Two kinds in one component: a health check that asks a gate whether the service is let
//! through, and an event sink that tells the same gate of every exit.
#![forbid(unsafe_code)]

use kennel_plugin::prelude::*;

/// Both kinds read the same configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gate {
    url: String,
}

impl HealthCheck for Gate {
    type Config = Gate;
    type State = ();

    fn new(config: Gate) -> Result<Gate, Problems> {
        Ok(config)
    }

    fn check(
        &self,
        input: &CheckInput,
        _: &mut (),
        host: &mut Host,
    ) -> Result<Verdict, CheckError> {
        let url = format!("{}/services/{}", self.url, input.target.service);
        let answer = host.http(Request::get(url).timeout(Duration::from_secs(1)))?;
        let gate = answer.json().map_err(|error| CheckError::not_made(error.to_string()))?;
        let waiting = gate["waiting"].as_f64().unwrap_or_default();
        let verdict = match gate["open"].as_bool() {
            Some(true) => Verdict::healthy("the gate is open"),
            Some(false) => Verdict::degraded("the gate is closed").not_ready(),
            None => Verdict::unknown("the gate does not say"),
        };
        Ok(verdict.sample("waiting", waiting, ""))
    }
}

#[derive(Serialize)]
struct Exit<'a> {
    service: &'a str,
    message: &'a str,
}

impl EventSink for Gate {
    type Config = Gate;

    fn new(config: Gate) -> Result<Gate, Problems> {
        Ok(config)
    }

    fn deliver(&self, batch: &Batch, host: &mut SinkHost) -> Result<Taken, Failure> {
        for (taken, event) in batch.events.iter().enumerate() {
            let Some(service) = &event.service else { continue };
            if event.kind != "service.exited" {
                continue;
            }
            let exit = Exit { service, message: &event.message };
            let answer = host.http(Request::post_json(format!("{}/exits", self.url), &exit))?;
            if answer.status >= 300 {
                log!(Warn, "not taken", status = answer.status, sequence = event.sequence);
                return Ok(Taken::First(taken as u32));
            }
        }
        Ok(Taken::All)
    }
}

kennel_plugin::export!(health_check: Gate, event_sink: Gate);

#[cfg(test)]
mod tests {
    use super::*;
    use kennel_plugin::testing::{Call, Checking, Delivering, event};

    #[test]
    fn one_component_can_be_of_several_kinds() {
        let config = r#"{ "url": "http://gate" }"#;
        let answer =
            |status, body: &str| Response { status, body: body.into(), ..Response::default() };
        let mut check = Checking::<Gate>::new(config);
        check
            .host
            .on_http("GET http://gate/services/web", answer(200, r#"{"open":true,"waiting":3}"#));
        let verdict = check.check();
        assert_eq!((verdict.status, verdict.samples[0].value), (Status::Healthy, 3.0));

        let mut sink = Delivering::<Gate>::new(config);
        sink.host.on_http("POST http://gate/exits", answer(204, ""));
        sink.host.on_http("POST http://gate/exits", answer(500, ""));
        let events = [
            event(1, "service.started", "web started"),
            event(2, "service.exited", "web exited"),
            event(3, "service.exited", "web \"exited\"\n"),
            event(4, "service.exited", "web exited"),
        ];
        assert_eq!(sink.deliver(&events), Ok(Taken::First(2)));
        let [_, Call::Http(second)] = &sink.host.calls()[..] else { panic!("two requests") };
        let body = r#"{"service":"web","message":"web \"exited\"\n"}"#;
        assert_eq!(String::from_utf8_lossy(&second.body), body);
    }
}
