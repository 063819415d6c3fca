"""A restart policy: some failures will not go away, and short runs need longer pauses."""

import json

# What is imported here is built into the component. An import inside of a function would
# look for files that are not there when the policy is asked.
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.lifecycle import Problem
from wit_world.exports.restart_policy import (
    Action_GiveUp,
    Action_RestartAfterMs,
    Action_UseDefault,
    Decision,
    Input,
)
from wit_world.imports.types import SavedState

STATE_VERSION = 1

# A run that ended sooner did no work.
SHORT_RUN_MS = 10_000


class Lifecycle(exports.Lifecycle):
    """Takes the configuration. The last one that was accepted holds."""

    hopeless = 0
    pause_ms = 0

    def configure(self, config: str) -> None:
        settings = json.loads(config) if config else {}
        if not isinstance(settings, dict):
            raise Err([Problem("", "must be a table of keys")])
        problems = []
        for key in settings.keys() - {"hopeless", "pause_ms"}:
            problems.append(Problem(key, "is not known; there are hopeless and pause_ms"))
        for key in ("hopeless", "pause_ms"):
            if not is_natural(settings.get(key)):
                problems.append(Problem(key, "must be a whole number"))
        if problems:
            raise Err(problems)
        Lifecycle.hopeless, Lifecycle.pause_ms = settings["hopeless"], settings["pause_ms"]


class RestartPolicy(exports.RestartPolicy):
    """Asked when a run has ended, while the built-in delay already runs."""

    def decide(self, input: Input) -> Decision:
        if input.cause.exit_code == Lifecycle.hopeless:
            reason = f"exit code {Lifecycle.hopeless} will not go away"
            return Decision(action=Action_GiveUp(reason), reason=reason, state=None, ext=[])
        if input.target.uptime_ms >= SHORT_RUN_MS:
            return decision(Action_UseDefault(), "it ran for a while", 0)
        short_runs = last_short_runs(input) + 1
        action = Action_RestartAfterMs(Lifecycle.pause_ms * short_runs)
        return decision(action, f"short runs in a row: {short_runs}", short_runs)


def decision(action: object, reason: str, short_runs: int) -> Decision:
    state = SavedState(STATE_VERSION, str(short_runs).encode())
    return Decision(action=action, reason=reason, state=state, ext=[])


def last_short_runs(input: Input) -> int:
    """What an older or newer version of this plugin has saved is not understood."""
    if input.state is None or input.state.version != STATE_VERSION:
        return 0
    try:
        return int(input.state.bytes)
    except ValueError:
        return 0


def is_natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
