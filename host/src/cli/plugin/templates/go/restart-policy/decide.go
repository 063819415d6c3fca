// Package export_kennel_plugin_restart_policy has a restart policy: some failures will not go
// away, and short runs need longer pauses. Its name, and that of Decide, are what the bindings
// look for.
package export_kennel_plugin_restart_policy

import (
	"fmt"
	"runtime/debug"
	"strconv"

	"wit_component/export_kennel_plugin_lifecycle"
	. "wit_component/kennel_plugin_restart_policy"
	"wit_component/kennel_plugin_types"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
)

const stateVersion = 1

// A run that ended sooner did no work.
const shortRunMs = 10_000

// A collection of garbage that begins while the host hands over an argument would call a
// clock, which is a trap then. An instance of a policy lives for one decision: it needs none.
func init() {
	debug.SetGCPercent(-1)
}

// Decide is called when a run has ended, while the built-in delay already runs.
func Decide(input Input) witTypes.Result[Decision, string] {
	settings := export_kennel_plugin_lifecycle.Accepted
	code := input.Cause.ExitCode
	if code.IsSome() && code.Some() == settings.Hopeless {
		reason := fmt.Sprintf("exit code %d will not go away", settings.Hopeless)
		return witTypes.Ok[Decision, string](Decision{
			Action: MakeActionGiveUp(reason),
			Reason: reason,
			State:  witTypes.None[kennel_plugin_types.SavedState](),
		})
	}
	if input.Target.UptimeMs >= shortRunMs {
		return decision(MakeActionUseDefault(), "it ran for a while", 0)
	}
	shortRuns := lastShortRuns(input.State) + 1
	reason := fmt.Sprintf("short runs in a row: %d", shortRuns)
	return decision(MakeActionRestartAfterMs(settings.PauseMs*shortRuns), reason, shortRuns)
}

func decision(action Action, reason string, shortRuns uint64) witTypes.Result[Decision, string] {
	bytes := []byte(strconv.FormatUint(shortRuns, 10))
	return witTypes.Ok[Decision, string](Decision{
		Action: action,
		Reason: reason,
		State:  witTypes.Some(kennel_plugin_types.SavedState{Version: stateVersion, Bytes: bytes}),
	})
}

// What an older or newer version of this plugin has saved is not understood.
func lastShortRuns(state witTypes.Option[kennel_plugin_types.SavedState]) uint64 {
	if state.IsNone() || state.Some().Version != stateVersion {
		return 0
	}
	count, err := strconv.ParseUint(string(state.Some().Bytes), 10, 20)
	if err != nil {
		return 0
	}
	return count
}
