// Package export_kennel_plugin_lifecycle takes the configuration. Its name, and that of
// Configure, are what the bindings look for.
package export_kennel_plugin_lifecycle

import (
	"encoding/json"
	"strings"

	. "wit_component/kennel_plugin_lifecycle"

	witTypes "go.bytecodealliance.org/pkg/wit/types"
)

// Settings is what stands under "config:".
type Settings struct {
	URL string
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
	var fields map[string]any
	if err := json.Unmarshal([]byte(config), &fields); err != nil {
		return settings, []Problem{{Path: "", Message: "must be a table of keys"}}
	}
	for key := range fields {
		if key != "url" {
			problems = append(problems, Problem{Path: key, Message: "is not known; there is url"})
		}
	}
	settings.URL, _ = fields["url"].(string)
	if !strings.HasPrefix(settings.URL, "http://") && !strings.HasPrefix(settings.URL, "https://") {
		problems = append(problems, Problem{Path: "url", Message: "must be an address that starts with http:// or https://"})
	}
	return settings, problems
}
