package isolation

import (
	"slices"
	"strings"
	"testing"
)

// On a hop `postCreateCommand: npm install` ran before the restore, and never again.
func TestEarly(t *testing.T) {
	plain := replica("ws/{env}", "")
	for name, tt := range map[string]struct {
		config string
		early  []string
		fix    string
	}{
		"nothing":             {`{"postStartCommand": "npm start", "postAttachCommand": "true"}`, nil, ""},
		"a text":              {`{"postCreateCommand": "npm install"}`, []string{"postCreateCommand"}, `put "onCreateCommand": "coltecd start`},
		"a list":              {`{"updateContentCommand": ["npm", "ci"]}`, []string{"updateContentCommand"}, `put "onCreateCommand"`},
		"several at once":     {`{"onCreateCommand": {"a": "x", "b": ["y"]}, "postCreateCommand": "z"}`, []string{"onCreateCommand", "postCreateCommand"}, "begin onCreateCommand with"},
		"null":                {`{"postCreateCommand": null}`, nil, ""},
		"the Feature waits":   {`{"features": {"./coltec": {"start": true}}, "postCreateCommand": "npm ci"}`, nil, ""},
		"it does not":         {`{"features": {"../coltec": {}}, "postCreateCommand": "npm ci"}`, []string{"postCreateCommand"}, "put"},
		"features by text":    {`{"features": {"ghcr.io/x/node:1": "lts"}, "postCreateCommand": "npm ci"}`, []string{"postCreateCommand"}, "put"},
		"the template's":      {`{"onCreateCommand": "sh .devcontainer/start.sh create", "postCreateCommand": "npm ci"}`, nil, ""},
		"the template's, old": {`{"onCreateCommand": "sh .devcontainer/start.sh", "postCreateCommand": "npm ci"}`, []string{"onCreateCommand", "postCreateCommand"}, "begin"},
		"by hand":             {`{"onCreateCommand": "coltecd start --wait", "postCreateCommand": "npm ci"}`, nil, ""},
		"too late":            {`{"onCreateCommand": "make", "updateContentCommand": "coltecd wait restored", "postCreateCommand": "npm ci"}`, []string{"onCreateCommand"}, "begin"},
	} {
		w := with(t, "a", plain, tt.config)
		if !slices.Equal(w.Container.Early, tt.early) {
			t.Errorf("%s: %q, want %q", name, w.Container.Early, tt.early)
		}
		found := Early(w)
		if len(found) > 0 != (tt.early != nil) || len(found) > 0 && (!strings.HasPrefix(found[0].Fix, tt.fix) || found[0].Severity != Warning) {
			t.Errorf("%s: %+v", name, found)
		}
		w.Spec.Persistence.Enabled = false
		if found := Early(w); found != nil {
			t.Errorf("%s, without a bucket: %+v", name, found)
		}
	}
}
