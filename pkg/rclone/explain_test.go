package rclone

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/hint"
)

// says holds an error to a class, and its step to some words.
func says(t testing.TB, err error, class Class, step string) {
	t.Helper()
	if ClassOf(err) != class || !strings.Contains(strings.Join(hint.Of(err), "; "), step) {
		t.Errorf("%s: %v; %q, want %s and %q", ClassOf(err), err, hint.Of(err), class, step)
	}
}

// Keys as echo, editors and docker --env-file leave them were said to be wrong ones.
func TestKeysWithSomethingAround(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	o := s.backend.Options
	for name, options := range map[string]map[string]string{
		"a line break":        {"access_key_id": o["access_key_id"] + "\n", "secret_access_key": o["secret_access_key"] + "\n"},
		"CRLF":                {"access_key_id": o["access_key_id"] + "\r\n", "secret_access_key": o["secret_access_key"] + "\r\n", "endpoint": o["endpoint"] + "\r\n"},
		"a mark":              {"access_key_id": "\ufeff" + o["access_key_id"]},
		"spaces":              {"secret_access_key": " " + o["secret_access_key"] + " ", "region": "auto\n"},
		"a slash":             {"endpoint": o["endpoint"] + "/"},
		"a slash and a break": {"endpoint": o["endpoint"] + "/\n", "provider": "Rclone\n"},
	} {
		if err := at(t, s, options).PutIf(t.Context(), "k"+strings.ReplaceAll(name, " ", ""), []byte("x"), IfAbsent); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		options map[string]string
		step    string
	}{
		"quotes":        {map[string]string{"access_key_id": `"` + o["access_key_id"] + `"`}, "without them"},
		"single quotes": {map[string]string{"secret_access_key": "'verysecret'\n"}, "without them"},
		"two lines":     {map[string]string{"secret_access_key": "verysecret\nother"}, "give one line"},
		"two endpoints": {map[string]string{"endpoint": "http://a\nhttp://b"}, "give one line"},
		"quoted":        {map[string]string{"endpoint": `"http://a"`}, "without them"},
	} {
		_, err := NewRemote(s.bin, []Backend{{Name: "p", Type: "s3", Options: c.options}}, "p:b", Options{})
		says(t, err, Config, c.step)
		if err != nil && strings.Contains(err.Error(), "verysecret") {
			t.Errorf("%s: it shows a secret: %v", name, err)
		}
	}
	// What may hold anything stays.
	b := Backend{Name: "c", Type: "s3", Options: map[string]string{"sse_customer_key": " key\n"}}
	if all, err := b.options(); err != nil || all["sse_customer_key"] != " key\n" {
		t.Errorf("%q, %v", all["sse_customer_key"], err)
	}
}

// With the bucket behind the endpoint all was written below a second one, and no listing
// found it: "directory not found", for ever.
func TestEndpointWithTheBucket(t *testing.T) {
	t.Parallel()
	for endpoint, step := range map[string]string{
		"https://abc.r2.cloudflarestorage.com/data": "https://abc.r2.cloudflarestorage.com", "https://abc.r2.cloudflarestorage.com/data/": "https://abc.r2.cloudflarestorage.com",
		"https://abc.r2.cloudflarestorage.com/data\n": "https://abc.r2.cloudflarestorage.com", "abc.example/data": "https://abc.example", "http://h:9000/s3/data": "http://h:9000",
	} {
		backends := []Backend{
			{Name: "p", Type: "s3", Options: map[string]string{"endpoint": endpoint}},
			{Name: "sealed", Type: "crypt", Options: map[string]string{"remote": "p:data/x"}, Passwords: map[string]string{"password": "x"}},
		}
		for _, root := range []string{"p:data", "p:data/some/prefix", "sealed:y"} {
			_, err := NewRemote(Binary{}, backends, root, Options{})
			says(t, err, Config, "write it as "+step+":")
		}
		if _, err := NewRemote(Binary{}, backends, "p:other", Options{}); err != nil {
			t.Errorf("another bucket: %v", err)
		}
	}
	for _, endpoint := range []string{"https://x.supabase.co/storage/v1/s3", "https://data.example", "https://h", "", "https://h/", "http://[::1]:9000", "127.0.0.1:9000"} {
		if _, err := NewRemote(Binary{}, []Backend{{Name: "p", Type: "s3", Options: map[string]string{"endpoint": endpoint}}}, "p:data", Options{}); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

// An endpoint that is no address was tried again and again, with a sentence about rules of endpoints.
func TestEndpointThatIsNone(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"127.0.0.1:1x", "::no", "http://h:", "https://a b", "https://[::1", "http://%zz"} {
		for _, root := range []string{"p:data", "p:"} {
			_, err := NewRemote(Binary{}, []Backend{{Name: "p", Type: "s3", Options: map[string]string{"endpoint": endpoint}}}, root, Options{})
			if endpoint == "http://h:" { // the port is left to the scheme
				if err != nil {
					t.Error(err)
				}
				continue
			}
			says(t, err, Config, "write it as https://HOST")
		}
	}
}

// A store that knows no such bucket says so to a listing, too, and what may be wrong with
// the endpoint is the next step.
func TestListingWithoutABucket(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	s.proxy.Inject(s3test.Fault{Kind: s3test.List, Status: 404, Code: "NoSuchKey"})
	_, err := s.List(t.Context(), "")
	says(t, err, NoBucket, "make the bucket, or correct its name")
	for behind, endpoint := range map[string]string{"the endpoint has a path, /s3:": s.proxy.Endpoint + "/s3", "the endpoint begins with the bucket's name: try http://example": "http://" + s.server.Bucket + ".example"} {
		step, err := Backend{Options: map[string]string{"endpoint": endpoint}}.endpointFault(s.server.Bucket)
		if err != nil || !strings.Contains(step, behind) {
			t.Errorf("%s: %q, %v", endpoint, step, err)
		}
		r := at(t, s, nil)
		r.behind = step
		_, err = r.List(t.Context(), "")
		says(t, err, NoBucket, behind)
	}
}

// Which right a key lacks was not said.
func TestRightsOneByOne(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	ctx := t.Context()
	if err := s.PutIf(ctx, "k", []byte("x"), IfAbsent); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind s3test.Kind
		do   func() error
		step string
	}{
		"put": {s3test.Put, func() error { return s.PutIf(ctx, "p", nil, IfAbsent) }, "to write (s3:PutObject)"},
		"upload": {s3test.Put, func() error {
			_, err := s.Upload(ctx, tree(t, map[string]string{"a": "1"}), []string{"a"}, nil)
			return err
		}, "to write (s3:PutObject)"},
		"get":    {s3test.Get, func() error { _, err := s.Get(ctx, "k", 9); return err }, "to read (s3:GetObject), and to list the bucket (s3:ListBucket)"},
		"stat":   {s3test.Head, func() error { _, err := s.Stat(ctx, "k"); return err }, "to read (s3:GetObject), and to list"},
		"list":   {s3test.List, func() error { _, err := s.List(ctx, ""); return err }, "to list the bucket (s3:ListBucket)"},
		"delete": {s3test.Delete, func() error { return s.Delete(ctx, []string{"k"}) }, "to delete (s3:DeleteObject)"},
	} {
		t.Run(name, func(t *testing.T) {
			remove := s.proxy.Inject(s3test.Fault{Kind: c.kind, Status: 403, Code: "AccessDenied", Message: "Access Denied"})
			defer remove()
			says(t, c.do(), Unauthorized, c.step)
		})
		s.proxy.Reset()
	}
}

// What was moved to an archive was said to be a matter of credentials.
func TestArchivedObject(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	s.proxy.Inject(s3test.Fault{Kind: s3test.Get, Status: 403, Code: "InvalidObjectState", Message: "The operation is not valid for the object's storage class", Extra: "<StorageClass>GLACIER</StorageClass>"})
	_, err := s.Get(t.Context(), "k", 9)
	says(t, err, Archived, "restore it in the store")
	_, err = s.Download(t.Context(), []string{"k"}, t.TempDir(), nil)
	says(t, err, Archived, "restore it in the store")
	if got := classify(`Object in GLACIER, restore first: bucket="b", key="k"`, 1); got != Archived {
		t.Error(got)
	}
}

// A condition that the store, or a gateway before it, refuses in words about keys is no
// fault of the key: the same write without it goes through.
func TestProbeOfRefusedConditions(t *testing.T) {
	t.Parallel()
	has := func(header string) func(s3test.Request) bool {
		return func(r s3test.Request) bool { return r.Header.Get(header) != "" }
	}
	for name, c := range map[string]struct {
		fault   s3test.Fault
		refused string
		create  bool
	}{
		"If-Match, 403":       {s3test.Fault{If: has("If-Match"), Status: 403, Code: "AccessDenied"}, "403", true},
		"If-Match, 400":       {s3test.Fault{If: has("If-Match"), Status: 400, Code: "InvalidArgument"}, "400", true},
		"If-Match, 501":       {s3test.Fault{If: has("If-Match"), Status: 501, Code: "NotImplemented"}, "501", true},
		"If-Match, a request": {s3test.Fault{If: has("If-Match"), Status: 400, Code: "InvalidRequest"}, "400", true},
		"If-None-Match, 403":  {s3test.Fault{If: has("If-None-Match"), Status: 403, Code: "SignatureDoesNotMatch"}, "403", false},
		"If-None-Match, 400":  {s3test.Fault{If: has("If-None-Match"), Status: 400, Code: "Bad"}, "400", false},
		"both stripped":       {s3test.Fault{Kind: s3test.Put, Strip: []string{"If-Match", "If-None-Match"}}, "", false},
		"If-Match stripped":   {s3test.Fault{Kind: s3test.Put, Strip: []string{"If-Match"}}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, Options{})
			s.proxy.Inject(c.fault)
			got, err := s.Probe(t.Context(), "probe")
			if err != nil || got.Strong() || got.Create != c.create || got.Match {
				t.Fatalf("%+v, %v", got, err)
			}
			if c.refused != "" && (got.Refusal == nil || !strings.Contains(got.Refusal.Error(), c.refused)) {
				t.Errorf("refusal: %v", got.Refusal)
			}
			if got.Gone != nil {
				err = got.Gone()
			}
			if left, listed := s.List(t.Context(), ""); errors.Join(err, listed) != nil || len(left) != 0 {
				t.Errorf("left: %+v, %v", left, errors.Join(err, listed))
			}
		})
	}
	t.Run("no writes at all", func(t *testing.T) {
		s := newStore(t, Options{})
		s.proxy.Inject(s3test.Fault{Kind: s3test.Put, Status: 403, Code: "AccessDenied"})
		_, err := s.Probe(t.Context(), "probe")
		says(t, err, Unauthorized, "to write (s3:PutObject)")
	})
}

// The store's certificate is from an authority of somebody's own: its file was dropped, and
// "check the network" was the step.
func TestPrivateAuthority(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = "http", strings.TrimPrefix(s.server.Endpoint, "http://")
		r.Out.Host = r.In.Host
	}})
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.StartTLS()
	defer front.Close()
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	over := func(endpoint string, options, env map[string]string) error {
		b := s.backend
		b.Options = map[string]string{"endpoint": endpoint}
		for k, v := range s.backend.Options {
			if k != "endpoint" {
				b.Options[k] = v
			}
		}
		for k, v := range options {
			b.Options[k] = v
		}
		r, err := NewRemote(s.bin, []Backend{b}, s.root, Options{Env: lookupIn(env)})
		if err != nil {
			return err
		}
		return r.PutIf(t.Context(), "k", []byte("x"), Cond{})
	}
	says(t, over(front.URL, nil, nil), Unreachable, "name that one's with SSL_CERT_FILE or AWS_CA_BUNDLE")
	for _, name := range []string{"SSL_CERT_FILE", "AWS_CA_BUNDLE", "RCLONE_CA_CERT"} {
		if err := over(front.URL, nil, map[string]string{name: bundle}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	keys := map[string]string{"AWS_CA_BUNDLE": bundle, "AWS_ACCESS_KEY_ID": s.server.AccessKey, "AWS_SECRET_ACCESS_KEY": s.server.SecretKey}
	if err := over(front.URL, map[string]string{"env_auth": "true", "access_key_id": "", "secret_access_key": ""}, keys); err != nil {
		t.Errorf("with keys from the environment: %v", err)
	}
	says(t, over(front.URL, nil, map[string]string{"AWS_CA_BUNDLE": "/nowhere"}), Unreachable, "it names a file that cannot be read")
	says(t, over(strings.Replace(front.URL, "127.0.0.1", "localhost", 1), nil, map[string]string{"SSL_CERT_FILE": bundle}), Unreachable, "the endpoint's name is not in the store's certificate")
	says(t, over(strings.Replace(s.server.Endpoint, "http:", "https:", 1), nil, nil), Unreachable, "begin the endpoint with http://")
}

// Words of certificates that no server here has.
func TestCertificates(t *testing.T) {
	r := &Remote{}
	for _, err := range []error{
		&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired, Cert: &x509.Certificate{}, Detail: "current time is after"}},
		x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"other.example"}}, Host: "h.example"},
		x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h.example"},
		x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"other.example"}}, Host: "10.0.0.1"},
		x509.UnknownAuthorityError{},
		http.ErrSchemeMismatch,
	} {
		e := &Error{Class: classify(err.Error(), 1)}
		r.explain(e, err.Error())
		if e.Class != Unreachable || e.step == "" {
			t.Errorf("%v: %s, %q", err, e.Class, e.step)
		}
	}
}
