"""A health check: the whole number `depth` in a JSON document, compared with a limit."""

import json
from typing import Optional

# What is imported here is built into the component. An import inside of a function would
# look for files that are not there when the check runs.
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.health_check import Input, Status, Verdict
from wit_world.exports.lifecycle import Problem
from wit_world.imports import log, probe
from wit_world.imports.types import Sample, SavedState, Severity

STATE_VERSION = 1


class Lifecycle(exports.Lifecycle):
    """Takes the configuration. The last one that was accepted holds."""

    url = ""
    limit = 0

    def configure(self, config: str) -> None:
        settings = json.loads(config) if config else {}
        problems = []
        if not isinstance(settings, dict):
            raise Err([Problem("", "must be a table of keys")])
        for key in settings.keys() - {"url", "limit"}:
            problems.append(Problem(key, "is not known; there are url and limit"))
        url = settings.get("url")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            problems.append(Problem("url", "must be an address that starts with http:// or https://"))
        limit = settings.get("limit")
        if not is_whole(limit):
            problems.append(Problem("limit", "must be a whole number"))
        if problems:
            raise Err(problems)
        Lifecycle.url, Lifecycle.limit = url, limit


class HealthCheck(exports.HealthCheck):
    """Asked at the pace that services.yaml says."""

    def check(self, input: Input) -> Verdict:
        try:
            answer = probe.http(request(Lifecycle.url))
        except Err as error:
            return verdict_of_failure(error.value)
        if answer.status != 200:
            return verdict(Status.UNHEALTHY, f"HTTP {answer.status}")
        depth = depth_in(answer.body)
        if depth is None:
            return verdict(Status.UNHEALTHY, 'no whole number "depth" in the answer')
        status, reason = judged(depth, last_depth(input.state), Lifecycle.limit)
        log.write(Severity.DEBUG, "measured", [("depth", str(depth))])
        result = verdict(status, reason)
        result.samples = [Sample("depth", float(depth), None)]
        result.state = SavedState(STATE_VERSION, str(depth).encode())
        return result


def request(url: str) -> probe.HttpRequest:
    return probe.HttpRequest(
        method="GET", url=url, headers=[], body=b"", timeout_ms=None, max_body=None, ext=[]
    )


def judged(depth: int, last: Optional[int], limit: int) -> tuple[Status, str]:
    """Over the limit is degraded; still there and not falling is unhealthy."""
    if depth <= limit:
        return Status.HEALTHY, f"depth {depth}, limit {limit}"
    if last is not None and last > limit and depth >= last:
        return Status.UNHEALTHY, f"depth {depth} is over the limit of {limit} and does not fall"
    return Status.DEGRADED, f"depth {depth} is over the limit of {limit}"


def verdict_of_failure(error: probe.ProbeError) -> Verdict:
    """Dead is not slow, and what says nothing of the service is no verdict at all."""
    detail = getattr(error, "value", "")
    match error:
        case probe.ProbeError_Timeout():
            return verdict(Status.LATE, "no answer in time")
        case probe.ProbeError_Connect():
            return verdict(Status.UNHEALTHY, f"cannot connect: {detail}")
        case probe.ProbeError_Tls():
            return verdict(Status.UNHEALTHY, f"TLS failed: {detail}")
        case probe.ProbeError_Protocol():
            return verdict(Status.UNHEALTHY, f"not a valid answer: {detail}")
        case probe.ProbeError_TooLarge():
            return verdict(Status.UNHEALTHY, "the answer is too large")
        case probe.ProbeError_Denied():
            raise Err(f"not granted: {detail}")
        case probe.ProbeError_Dns():
            raise Err(f"cannot resolve the name: {detail}")
        case _:
            raise Err(f"the probe failed: {detail}")


def verdict(status: Status, reason: str) -> Verdict:
    return Verdict(status=status, reason=reason, samples=[], state=None, next_in_ms=None, ext=[])


def depth_in(body: bytes) -> Optional[int]:
    try:
        depth = json.loads(body).get("depth")
    except (ValueError, AttributeError):
        return None
    return depth if is_whole(depth) else None


def last_depth(state: Optional[SavedState]) -> Optional[int]:
    """What an older or newer version of this plugin has saved is not understood."""
    if state is None or state.version != STATE_VERSION:
        return None
    try:
        return int(state.bytes)
    except ValueError:
        return None


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
