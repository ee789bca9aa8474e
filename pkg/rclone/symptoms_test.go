package rclone

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/hint"
)

// Each answer of a store about who asks names what mends it, and in what: keys, a bucket's
// name, a clock and an endpoint were one sentence. A real server says the first two.
func TestAnswersNameTheirMend(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	o := s.backend.Options
	put := func(r *Remote) error { return r.PutIf(t.Context(), "k", []byte("x"), IfAbsent) }
	says(t, put(at(t, s, map[string]string{"access_key_id": "AKIANOBODY"})), Unauthorized, "fnox set RCLONE_S3_ACCESS_KEY_ID")
	says(t, put(at(t, s, map[string]string{"secret_access_key": o["secret_access_key"] + "x"})), Unauthorized, "fnox set RCLONE_S3_SECRET_ACCESS_KEY")
	fault := func(status int, code string) s3test.Fault { return s3test.Fault{Status: status, Code: code} }
	for name, c := range map[string]struct {
		fault s3test.Fault
		class Class
		step  string
	}{
		"a key of another store": {fault(403, "InvalidAccessKeyId"), Unauthorized, "fnox set RCLONE_S3_ACCESS_KEY_ID"},
		"a secret of another":    {fault(403, "SignatureDoesNotMatch"), Unauthorized, "fnox set RCLONE_S3_SECRET_ACCESS_KEY"},
		"a session that is over": {fault(400, "ExpiredToken"), Unauthorized, "log in again"},
		"a broken session":       {fault(400, "InvalidToken"), Unauthorized, "log in again"},
		"no bucket":              {fault(404, "NoSuchBucket"), NoBucket, "fnox set RCLONE_BUCKET"},
		"a bucket's bad name":    {fault(400, "InvalidBucketName"), Config, "fnox set RCLONE_BUCKET"},
		"a clock":                {fault(403, "RequestTimeTooSkewed"), ClockSkew, "sudo timedatectl set-ntp true"},
		"another endpoint":       {fault(301, "PermanentRedirect"), Config, "fnox set RCLONE_S3_ENDPOINT"},
		"an account":             {fault(403, "AllAccessDisabled"), Unauthorized, "the console of the store"},
		"a region":               {s3test.Fault{Status: 400, Code: "AuthorizationHeaderMalformed", Message: "the region 'auto' is wrong; expecting 'eu-central-1'"}, WrongRegion, "coltec update DIR --data region=eu-central-1"},
		"rights":                 {fault(403, "AccessDenied"), Unauthorized, "give the key the right to write (s3:PutObject)"},
		// What is named by a code of another kind, or by none, keeps the general step.
		"a refusal without a code": {s3test.Fault{Status: 403, Code: "Strange"}, Unauthorized, "check the access key"},
		"a portal":                 {s3test.Fault{Status: 511, Code: "Login"}, Foreign, "log in to the network"},
		"one in another region":    {s3test.Fault{Status: 301, Code: "PermanentRedirect", Header: http.Header{"X-Amz-Bucket-Region": {"eu-central-1"}}}, WrongRegion, "--data region=eu-central-1"},
	} {
		s.proxy.Reset()
		s.proxy.Inject(c.fault)
		err := put(at(t, s, nil))
		if ClassOf(err) != c.class || !strings.Contains(strings.Join(hint.Of(err), "; "), c.step) {
			t.Errorf("%s: %s: %v; %q", name, ClassOf(err), err, hint.Of(err))
		}
		if n := len(hint.Of(err)); n != 1 {
			t.Errorf("%s: %d steps: %q", name, n, hint.Of(err))
		}
	}
}

// Symptoms are those of the tables, each once, with a sentence and a step.
func TestSymptoms(t *testing.T) {
	seen := map[string]bool{}
	for _, x := range Symptoms() {
		if x.Says == "" || x.Step == "" || seen[x.Says+x.Sign] {
			t.Errorf("%+v", x)
		}
		seen[x.Says+x.Sign] = true
	}
	for code := range codeSteps {
		if _, known := s3Codes[code]; !known {
			t.Errorf("%s has a step and no class", code)
		}
	}
	if len(seen) < 25 {
		t.Errorf("%d symptoms", len(seen))
	}
}
