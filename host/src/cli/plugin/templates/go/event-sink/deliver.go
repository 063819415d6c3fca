// Package export_kennel_plugin_event_sink has an event sink: batches of lines to an HTTP
// endpoint. Its name, and that of Deliver, are what the bindings look for.
package export_kennel_plugin_event_sink

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"wit_component/export_kennel_plugin_lifecycle"
	. "wit_component/kennel_plugin_event_sink"
	"wit_component/kennel_plugin_log"
	"wit_component/kennel_plugin_probe"
	"wit_component/kennel_plugin_types"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
)

const retryMs = 5_000

// A collection that Go begins by itself may begin while the host hands over an argument, when
// nothing may be called, and it calls a clock: that is a trap. So it is begun here.
func init() {
	debug.SetGCPercent(-1)
}

// Deliver is handed events in order. What it does not take comes again.
func Deliver(batch Batch) witTypes.Result[uint32, Failure] {
	runtime.GC()
	response := kennel_plugin_probe.Http(kennel_plugin_probe.HttpRequest{
		Method:    "POST",
		Url:       export_kennel_plugin_lifecycle.Accepted.URL,
		Headers:   []witTypes.Tuple2[string, string]{{F0: "content-type", F1: "text/plain; charset=utf-8"}},
		Body:      lines(batch.Events),
		TimeoutMs: witTypes.None[uint32](),
		MaxBody:   witTypes.None[uint32](),
	})
	if response.IsErr() {
		return retry("no answer")
	}
	switch status := response.Ok().Status; {
	case status >= 200 && status < 300:
		return witTypes.Ok[uint32, Failure](uint32(len(batch.Events)))
	// These will be refused tomorrow too.
	case status == 400 || status == 413 || status == 422:
		return witTypes.Err[uint32, Failure](MakeFailureReject(fmt.Sprintf("HTTP %d", status)))
	default:
		return retry(fmt.Sprintf("HTTP %d", status))
	}
}

func retry(reason string) witTypes.Result[uint32, Failure] {
	kennel_plugin_log.Write(kennel_plugin_types.Severity_Warn, "events were not taken: "+reason, nil)
	return witTypes.Err[uint32, Failure](MakeFailureRetryAfterMs(retryMs))
}

func lines(events []Event) []byte {
	var text strings.Builder
	for _, event := range events {
		fmt.Fprintf(&text, "%d %s %s %s\n", event.Sequence, event.Kind, event.Service.SomeOr("-"), event.Message)
	}
	return []byte(text.String())
}
