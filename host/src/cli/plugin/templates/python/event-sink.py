"""An event sink: batches of lines to an HTTP endpoint."""

import json

# What is imported here is built into the component. An import inside of a function would
# look for files that are not there when events come.
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.event_sink import Batch, Event, Failure_Reject, Failure_RetryAfterMs
from wit_world.exports.lifecycle import Problem
from wit_world.imports import log, probe
from wit_world.imports.types import Severity

RETRY_MS = 5_000


class Lifecycle(exports.Lifecycle):
    """Takes the configuration. The last one that was accepted holds."""

    url = ""

    def configure(self, config: str) -> None:
        settings = json.loads(config) if config else {}
        if not isinstance(settings, dict):
            raise Err([Problem("", "must be a table of keys")])
        problems = []
        for key in settings.keys() - {"url"}:
            problems.append(Problem(key, "is not known; there is url"))
        url = settings.get("url")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            problems.append(Problem("url", "must be an address that starts with http:// or https://"))
        if problems:
            raise Err(problems)
        Lifecycle.url = url


class EventSink(exports.EventSink):
    """Handed events in order. What it does not take comes again."""

    def deliver(self, batch: Batch) -> int:
        try:
            answer = probe.http(request(Lifecycle.url, batch.events))
        except Err as error:
            detail = getattr(error.value, "value", type(error.value).__name__)
            raise retry(f"no answer: {detail}")
        if 200 <= answer.status < 300:
            return len(batch.events)
        # These will be refused tomorrow too.
        if answer.status in (400, 413, 422):
            raise Err(Failure_Reject(f"HTTP {answer.status}"))
        raise retry(f"HTTP {answer.status}")


def retry(reason: str) -> Err:
    log.write(Severity.WARN, f"events were not taken: {reason}", [])
    return Err(Failure_RetryAfterMs(RETRY_MS))


def request(url: str, events: list[Event]) -> probe.HttpRequest:
    return probe.HttpRequest(
        method="POST",
        url=url,
        headers=[("content-type", "text/plain; charset=utf-8")],
        body="".join(map(line, events)).encode(),
        timeout_ms=None,
        max_body=None,
        ext=[],
    )


def line(event: Event) -> str:
    return f"{event.sequence} {event.kind} {event.service or '-'} {event.message}\n"
