package rclone

import (
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/hint"
)

// signedFor is the region that a request was signed for.
func signedFor(r s3test.Request) string {
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	parts := strings.Split(scope, "/")
	if len(parts) < 3 {
		return ""
	}
	return parts[2]
}

// strict answers as a store does to what was signed for another region than its own.
func strict(region string, f s3test.Fault) s3test.Fault {
	f.If = func(r s3test.Request) bool { return signedFor(r) != region }
	return f
}

// A store that insists on its region was said to refuse the credentials.
func TestWrongRegion(t *testing.T) {
	t.Parallel()
	const region = "eu-central-1"
	bucketIn := http.Header{"X-Amz-Bucket-Region": {region}}
	for name, c := range map[string]struct {
		answer s3test.Fault
		known  string // the region that the hint names; "": none
	}{
		"AWS":             {s3test.Fault{Status: 400, Code: "AuthorizationHeaderMalformed", Message: "The authorization header is malformed; the region 'auto' is wrong; expecting 'eu-central-1'", Extra: "<Region>eu-central-1</Region>"}, region},
		"MinIO":           {s3test.Fault{Status: 400, Code: "AuthorizationHeaderMalformed", Message: "The authorization header is malformed; the region is wrong; expecting 'eu-central-1'.", Extra: "<Region>eu-central-1</Region>"}, region},
		"Garage":          {s3test.Fault{Status: 400, Code: "AuthorizationHeaderMalformed", Message: "Authorization header malformed, unexpected scope: 20261130/auto/s3/aws4_request"}, ""},
		"a redirect":      {s3test.Fault{Status: 301, Code: "PermanentRedirect", Message: "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.", Extra: "<Endpoint>b.s3.eu-central-1.amazonaws.com</Endpoint>", Header: bucketIn}, region},
		"R2":              {s3test.Fault{Status: 400, Code: "InvalidRegionName", Message: "The region name 'auto' is not valid. Must be one of: wnam, enam, weur, eeur, apac, auto"}, ""},
		"another R2":      {s3test.Fault{Status: 400, Code: "InvalidRegion", Message: "The region is not valid"}, ""},
		"a header alone":  {s3test.Fault{Status: 400, Code: "BadRequest", Message: "Bad Request", Header: bucketIn}, region},
		"a bucket's own":  {s3test.Fault{Status: 400, Code: "IllegalLocationConstraintException", Message: "The eu-central-1 location constraint is incompatible for the region specific endpoint this request was sent to."}, ""},
		"SignatureRegion": {s3test.Fault{Status: 403, Code: "SignatureDoesNotMatch", Message: "Credential should be scoped to a valid region."}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, Options{})
			s.proxy.Inject(strict(region, c.answer))
			auto := at(t, s, map[string]string{"region": "auto"})
			_, listErr := auto.List(t.Context(), "")
			_, probeErr := auto.Probe(t.Context(), "probe")
			_, statErr := auto.Stat(t.Context(), "k")
			for op, err := range map[string]error{
				"put": auto.PutIf(t.Context(), "k", []byte("x"), IfAbsent), "list": listErr, "probe": probeErr, "stat": statErr,
			} {
				if op == "stat" && c.answer.Header == nil {
					continue // a HEAD has no words
				}
				if ClassOf(err) != WrongRegion || errors.Is(err, ErrUnknown) || ClassOf(err).Retry() {
					t.Errorf("%s: %s: %v", op, ClassOf(err), err)
				}
				step := strings.Join(hint.Of(err), "; ")
				if want := "--data region=" + c.known; !strings.Contains(step, want) || c.known == "" && !strings.Contains(step, "--data region=NAME") {
					t.Errorf("%s: the step %q does not say %q", op, step, want)
				}
			}
			if err := at(t, s, map[string]string{"region": region}).PutIf(t.Context(), "k", []byte("x"), IfAbsent); err != nil {
				t.Errorf("in its region: %v", err)
			}
		})
	}
}

// What else these codes mean stays what it was.
func TestRightRegion(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	for name, c := range map[string]struct {
		answer s3test.Fault
		want   Class
	}{
		"no key":      {s3test.Fault{Status: 400, Code: "AuthorizationHeaderMalformed", Message: "The authorization header is malformed; a non-empty Access Key (AKID) must be provided in the credential."}, Unauthorized},
		"no rights":   {s3test.Fault{Status: 403, Code: "AccessDenied", Message: "Access Denied", Header: http.Header{"X-Amz-Bucket-Region": {"eu-central-1"}}}, Unauthorized},
		"a signature": {s3test.Fault{Status: 403, Code: "SignatureDoesNotMatch", Message: "The request signature we calculated does not match the signature you provided. Check your key and signing method."}, Unauthorized},
		"a redirect":  {s3test.Fault{Status: 301, Code: "PermanentRedirect", Message: "The bucket you are attempting to access must be addressed using the specified endpoint."}, Config},
		"the clock":   {s3test.Fault{Status: 403, Code: "RequestTimeTooSkewed", Header: http.Header{"X-Amz-Bucket-Region": {"eu-central-1"}}}, ClockSkew},
	} {
		s.proxy.Reset()
		s.proxy.Inject(c.answer)
		if err := s.PutIf(t.Context(), "k", []byte("x"), IfAbsent); ClassOf(err) != c.want {
			t.Errorf("%s: %s: %v", name, ClassOf(err), err)
		}
	}
}

// AWS has no region auto: its host is not there, which was said to be the network's fault.
func TestNoSuchRegion(t *testing.T) {
	for _, msg := range []string{
		`operation error S3: PutObject, https response error StatusCode: 0, RequestID: , HostID: , request send failed, Put "https://b.s3.auto.amazonaws.com/k": dial tcp: lookup b.s3.auto.amazonaws.com on 10.0.0.2:53: no such host`,
		"dial tcp: lookup s3.auto.amazonaws.com: no such host",
		"dial tcp: lookup s3.auto.wasabisys.com: no such host",
	} {
		if got := classify(msg, 1); got != WrongRegion {
			t.Errorf("%s: %s", got, msg)
		}
	}
	for _, msg := range []string{"dial tcp: lookup x.r2.cloudflarestorage.com: no such host", "dial tcp: lookup s3.eu-central-1.amazonaws.com: no such host", "dial tcp: lookup s3.auto.amazonaws.com: i/o timeout"} {
		if got := classify(msg, 1); got == WrongRegion {
			t.Errorf("%s: %s", got, msg)
		}
	}
}

// at is the root of the store, with further options.
func at(t testing.TB, s *store, options map[string]string) *Remote {
	t.Helper()
	backend := s.backend
	backend.Options = maps.Clone(backend.Options)
	maps.Copy(backend.Options, options)
	r, err := NewRemote(s.bin, []Backend{backend}, s.root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
