// Package export_kennel_plugin_lifecycle takes the configuration. Its name, and that of
// Configure, are what the bindings look for.
package export_kennel_plugin_lifecycle

import (
	"encoding/json"

	. "wit_component/kennel_plugin_lifecycle"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
)

// Settings is what stands under "config:".
type Settings struct {
	Hopeless int32
	PauseMs  uint64
}

// Accepted is the last configuration that was.
var Accepted Settings

// Configure takes a configuration, or says everything that is wrong with it.
func Configure(config string) witTypes.Result[witTypes.Unit, []Problem] {
	settings, problems := read(config)
	if len(problems) > 0 {
		return witTypes.Err[witTypes.Unit, []Problem](problems)
	}
	Accepted = settings
	return witTypes.Ok[witTypes.Unit, []Problem](witTypes.Unit{})
}

func read(config string) (settings Settings, problems []Problem) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(config), &fields); err != nil {
		return settings, []Problem{{Path: "", Message: "must be a table of keys"}}
	}
	for key := range fields {
		if key != "hopeless" && key != "pause_ms" {
			problems = append(problems, Problem{Path: key, Message: "is not known; there are hopeless and pause_ms"})
		}
	}
	if json.Unmarshal(fields["hopeless"], &settings.Hopeless) != nil || settings.Hopeless < 0 {
		problems = append(problems, Problem{Path: "hopeless", Message: "must be a whole number"})
	}
	if json.Unmarshal(fields["pause_ms"], &settings.PauseMs) != nil {
		problems = append(problems, Problem{Path: "pause_ms", Message: "must be a whole number"})
	}
	return settings, problems
}
