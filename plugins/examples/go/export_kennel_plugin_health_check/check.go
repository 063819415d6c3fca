// Package export_kennel_plugin_health_check has a health check: the whole number "depth" in
// a JSON document, compared with a limit. Its name, and that of Check, are what the bindings
// look for.
package export_kennel_plugin_health_check

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"

	"wit_component/export_kennel_plugin_lifecycle"
	. "wit_component/kennel_plugin_health_check"
	"wit_component/kennel_plugin_log"
	"wit_component/kennel_plugin_probe"
	"wit_component/kennel_plugin_types"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
)

const stateVersion = 1

type answer = witTypes.Result[Verdict, string]

// A collection that Go begins by itself may begin while the host hands over an argument, when
// nothing may be called, and it calls a clock: that is a trap. So it is begun here.
var checks int

const checksPerCollection = 256

func init() {
	debug.SetGCPercent(-1)
}

// Check is called at the pace that services.yaml says.
func Check(input Input) answer {
	if checks++; checks%checksPerCollection == 0 {
		runtime.GC()
	}
	settings := export_kennel_plugin_lifecycle.Accepted
	response := kennel_plugin_probe.Http(kennel_plugin_probe.HttpRequest{
		Method:    "GET",
		Url:       settings.URL,
		TimeoutMs: witTypes.None[uint32](),
		MaxBody:   witTypes.None[uint32](),
	})
	if response.IsErr() {
		return ofFailure(response.Err())
	}
	if status := response.Ok().Status; status != 200 {
		return verdict(Status_Unhealthy, fmt.Sprintf("HTTP %d", status))
	}
	depth, found := depthIn(response.Ok().Body)
	if !found {
		return verdict(Status_Unhealthy, "no whole number \"depth\" in the answer")
	}
	text := strconv.FormatInt(depth, 10)
	kennel_plugin_log.Write(kennel_plugin_types.Severity_Debug, "measured",
		[]witTypes.Tuple2[string, string]{{F0: "depth", F1: text}})
	last, known := lastDepth(input.State)
	status, reason := judged(depth, last, known, settings.Limit)
	return witTypes.Ok[Verdict, string](Verdict{
		Status:   status,
		Reason:   reason,
		Samples:  []Sample{{Name: "depth", Value: float64(depth), Unit: witTypes.None[string]()}},
		State:    witTypes.Some(SavedState{Version: stateVersion, Bytes: []byte(text)}),
		NextInMs: witTypes.None[uint32](),
	})
}

// Over the limit is degraded; still there and not falling is unhealthy.
func judged(depth, last int64, known bool, limit int64) (Status, string) {
	switch over := fmt.Sprintf("depth %d is over the limit of %d", depth, limit); {
	case depth <= limit:
		return Status_Healthy, fmt.Sprintf("depth %d, limit %d", depth, limit)
	case known && last > limit && depth >= last:
		return Status_Unhealthy, over + " and does not fall"
	default:
		return Status_Degraded, over
	}
}

// Dead is not slow, and what says nothing of the service is no verdict at all.
func ofFailure(failure kennel_plugin_probe.ProbeError) answer {
	switch failure.Tag() {
	case kennel_plugin_probe.ProbeError_Timeout:
		return verdict(Status_Late, "no answer in time")
	case kennel_plugin_probe.ProbeError_Connect:
		return verdict(Status_Unhealthy, "cannot connect: "+failure.Connect())
	case kennel_plugin_probe.ProbeError_Tls:
		return verdict(Status_Unhealthy, "TLS failed: "+failure.Tls())
	case kennel_plugin_probe.ProbeError_Protocol:
		return verdict(Status_Unhealthy, "not a valid answer: "+failure.Protocol())
	case kennel_plugin_probe.ProbeError_TooLarge:
		return verdict(Status_Unhealthy, "the answer is too large")
	case kennel_plugin_probe.ProbeError_Denied:
		return witTypes.Err[Verdict, string]("not granted: " + failure.Denied())
	case kennel_plugin_probe.ProbeError_Dns:
		return witTypes.Err[Verdict, string]("cannot resolve the name: " + failure.Dns())
	default:
		return witTypes.Err[Verdict, string]("the probe failed: " + failure.Other())
	}
}

func verdict(status Status, reason string) answer {
	return witTypes.Ok[Verdict, string](Verdict{
		Status:   status,
		Reason:   reason,
		State:    witTypes.None[SavedState](),
		NextInMs: witTypes.None[uint32](),
	})
}

func depthIn(body []byte) (int64, bool) {
	var stats struct{ Depth *int64 }
	if err := json.Unmarshal(body, &stats); err != nil || stats.Depth == nil {
		return 0, false
	}
	return *stats.Depth, true
}

// What an older or newer version of this plugin has saved is not understood.
func lastDepth(state witTypes.Option[SavedState]) (int64, bool) {
	if state.IsNone() || state.Some().Version != stateVersion {
		return 0, false
	}
	last, err := strconv.ParseInt(string(state.Some().Bytes), 10, 64)
	return last, err == nil
}
