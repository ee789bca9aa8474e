package spec

import (
	"strings"
	"testing"
)

func TestWebhookURL(t *testing.T) {
	for address, good := range map[string]bool{
		"https://example.com/a?b=c": true, "https://example.com": true, "http://127.0.0.1:8080/x": true, "http://[::1]:1/": true, "http://127.9.9.9": true,
		"http://example.com": false, "http://localhost/": false, "http://10.0.0.1/": false, "http://169.254.169.254/latest": false, "ftp://example.com": false,
		"https://user:pass@example.com/": false, "https://": false, "https:///x": false, "example.com": false, "": false, "https://example.com/#a": false,
		"file:///etc/passwd": false, "https://exa mple.com": false, "http://127.0.0.1.example.com/": false, "unix:///run/x": false, "http://0.0.0.0/": false, "https://:443/": false,
	} {
		if err := checkWebhook(address); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		} else if err != nil && address != "" && strings.Contains(err.Error(), "pass@") {
			t.Errorf("%q is in the error: %v", address, err)
		}
	}
}

// What variables make of an address is held to the same, and a missing one is named.
func TestWebhookExpand(t *testing.T) {
	set := map[string]string{"HOOK_URL": "https://example.com/T0K3N", "BAD": "http://example.com/T0K3N", "HOOK_KEY": "k"}
	get := func(name string) (string, bool) { v, ok := set[name]; return v, ok }
	for _, tt := range []struct{ url, secret, want, err string }{
		{"${HOOK_URL}", "HOOK_KEY", "https://example.com/T0K3N k", ""},
		{"https://example.com/${NONE:-x}", "", "https://example.com/x ", ""},
		{"${BAD}", "", "", "must begin with https://"},
		{"${NONE}", "ALSO", "", "ALSO and NONE are not set"},
	} {
		w := &Webhook{URL: tt.url, Secret: tt.secret}
		address, key, err := w.Expand(get)
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "T0K3N") {
				t.Errorf("%+v: %v", tt, err)
			}
		case err != nil || address.Reveal()+" "+key.Reveal() != tt.want:
			t.Errorf("%+v: %q, %q, %v", tt, address.Reveal(), key.Reveal(), err)
		}
	}
	s := &Spec{Webhook: &Webhook{URL: "${HOOK_URL}", Secret: "HOOK_KEY"}}
	for _, v := range s.Variables() {
		if (v.Name == "HOOK_URL" || v.Name == "HOOK_KEY") != (v.Credential && v.Needed && v.Secret()) {
			t.Errorf("%+v", v)
		}
	}
}
