package agents

import (
	"os"
	"path/filepath"
	"strings"
)

// secrets are files of the first machine that stay there.
var secrets = map[string]string{
	".claude/.credentials.json": `{"claudeAiOauth": {"accessToken": "sk-ant-oat01-` + secret + `", "refreshToken": "sk-ant-ort01-` + secret +
		`", "expiresAt": 4102444800000, "scopes": ["user:inference"], "subscriptionType": "pro"}}`,
	".codex/auth.json": `{"OPENAI_API_KEY": "` + secret + `", "tokens": null, "last_refresh": null}`,
	".ssh/id_ed25519":  secret,
	".netrc":           "machine example.org password " + secret,
}

func (w *world) inHome(path, text string) {
	w.t.Helper()
	w.write(filepath.Join(w.home(), path), text)
}

// keepsSecrets holds that no object has a secret, unpacked neither, though all of them are
// there on the first machine, and that what travels is found in the same way.
func (w *world) keepsSecrets() {
	w.t.Helper()
	if found := w.s3.Grep(w.t, secret); len(found) > 0 {
		w.t.Errorf("a secret can be read in %q", found)
	}
	for _, carried := range []string{wish, "nonce-0001-of-the-model"} {
		if len(w.s3.Grep(w.t, carried)) == 0 {
			w.t.Errorf("%q is not found in the bucket either", carried)
		}
	}
	for path := range secrets {
		if b, err := os.ReadFile(w.real("a", filepath.Join(w.home(), path))); err != nil || !strings.Contains(string(b), secret) {
			w.t.Errorf("~/%s of the first machine has no secret: %q, %v", path, b, err)
		}
	}
}
