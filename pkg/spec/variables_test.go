package spec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// needs are the names of the variables that must be set.
func needs(s *Spec) (names []string) {
	for _, v := range s.Variables() {
		if v.Needed {
			names = append(names, v.Name)
		}
	}
	return names
}

func TestVariablesOfASpec(t *testing.T) {
	s := mustParse(t, head+`
networking: {enabled: true}
secrets: [{name: DECLARED}, {name: REQUIRED, required: true}, {name: KEY, required: true}, {name: BASE_PATH}]
services: [{name: web, command: [web], env: {A: "${WEB}", B: "${OPTIONAL:-none}"}}]
persistence:
  enabled: true
  default_remote: primary
  remotes:
    primary: {type: s3, bucket: "${BUCKET}", options: {access_key_id: "${KEY}", session_token: "${SESSION:-}", region: "${REGION:-auto}"}}
    other: {type: s3, bucket: b, options: {secret_access_key: "${OTHER}"}}
  sync: [{name: w, path: /w, remote_path: w}]
`)
	want := []Variable{
		{Name: "BASE_PATH", Declared: true},
		{Name: "BUCKET", Needed: true, Credential: true},
		{Name: "COLTEC_TAILSCALE_AUTH_KEY", Needed: true, Credential: true},
		{Name: "DECLARED", Declared: true},
		{Name: "KEY", Needed: true, Declared: true, Required: true, Credential: true},
		{Name: "OTHER", Credential: true},
		{Name: "REGION", Credential: true},
		{Name: "REQUIRED", Needed: true, Declared: true, Required: true},
		{Name: "SESSION", Credential: true},
		{Name: "TAILSCALE_AUTH_KEY", Needed: true, Credential: true},
		{Name: "TS_AUTHKEY", Needed: true, Credential: true},
		{Name: "WEB", Needed: true},
	}
	if diff := cmp.Diff(want, s.Variables()); diff != "" {
		t.Error(diff)
	}
	for name, is := range map[string]bool{"S3_ENDPOINT": true, "bucket": true, "OAUTH_PROVIDER_SECRET": false, "PATHWAY_API_KEY": false, "REGION_PASSWORD": false} {
		if NamesPlace(name) != is {
			t.Errorf("%s names a place: %v", name, !is)
		}
	}
	secret := map[string]bool{}
	for _, v := range s.Variables() {
		secret[v.Name] = v.Secret()
	}
	for name, is := range map[string]bool{"KEY": true, "SESSION": true, "DECLARED": true, "TS_AUTHKEY": true, "BUCKET": false, "REGION": false, "BASE_PATH": false, "WEB": false} {
		if secret[name] != is {
			t.Errorf("%s is secret: %v", name, !is)
		}
	}
}
