package rclone

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/hint"
)

// A captive portal answered every request with a login page, and coltecd said that
// all was in the bucket. Whatever a portal answers, nothing is taken for done, for
// missing or for empty.
func TestPortals(t *testing.T) {
	t.Parallel()
	s, ctx := newStore(t, Options{}), t.Context()
	for _, key := range []string{"there", "other"} {
		if err := s.PutIf(ctx, key, []byte("x"), Cond{}); err != nil {
			t.Fatal(err)
		}
	}
	// An rclone for each: all operations where an answer may be taken for a good one.
	whole := []s3test.Portal{s3test.PortalRedirect, s3test.PortalEmpty, s3test.PortalNoContent, s3test.PortalNotFound}
	for _, portal := range sample.Some(t, 4, s3test.Portals) {
		t.Run(string(portal), func(t *testing.T) {
			open := s.proxy.Inject(s3test.Fault{Portal: portal})
			tries := everything
			if !slices.Contains(whole, portal) {
				tries = most
			}
			for op, err := range tries(t, s.Remote) {
				switch {
				case op == "delete" && portal == s3test.PortalNoContent: // what a store says too; no promise rests on it
				case ClassOf(err) != Foreign || errors.Is(err, ErrNotFound) || errors.Is(err, ErrPrecondition):
					t.Errorf("%s: class %s: %v", op, ClassOf(err), err)
				case !strings.Contains(err.Error(), "did not come from the store") || len(hint.Of(err)) != 1:
					t.Errorf("%s: %v %q", op, err, hint.Of(err))
				}
			}
			open()
			objects, err := s.List(ctx, "")
			if err != nil || len(objects) != 2 {
				t.Errorf("afterwards: %v %v", objects, err)
			}
		})
	}
}

// most tries what the head needs, and an upload.
func most(t *testing.T, r *Remote) map[string]error {
	ctx, all := t.Context(), map[string]error{}
	all["put"] = r.PutIf(ctx, "new", []byte("body"), IfAbsent)
	_, all["upload"] = r.Upload(ctx, tree(t, map[string]string{"a": "1", "b/c": "2"}), []string{"a", "b/c"}, nil)
	_, all["get gone"] = r.Get(ctx, "gone", 1<<30)
	_, all["stat there"] = r.Stat(ctx, "there")
	_, all["list"] = r.List(ctx, "")
	return all
}

// everything tries each operation, on what is there and on what is not.
func everything(t *testing.T, r *Remote) map[string]error {
	ctx, all := t.Context(), most(t, r)
	all["put over"] = r.PutIf(ctx, "there", []byte("body"), IfMatch(ETag([]byte("x"))))
	all["large put"] = r.PutIf(ctx, "large", []byte(strings.Repeat("body", memory)), Cond{})
	_, all["upload of a mirror"] = r.Metadata().Upload(ctx, tree(t, map[string]string{"a": "1"}), []string{"a"}, nil)
	for _, key := range []string{"there", "gone"} {
		_, all["get "+key] = r.Get(ctx, key, 1<<30)
		_, all["stat "+key] = r.Stat(ctx, key)
		_, all["download "+key] = r.Download(ctx, []string{key}, t.TempDir(), nil)
	}
	_, all["download of a mirror"] = r.Metadata().Download(ctx, []string{"there"}, t.TempDir(), nil)
	_, all["list of nothing"] = r.List(ctx, "no/such/prefix")
	_, all["move"] = r.Move(ctx, []string{"there"}, "aside")
	_, all["copy"] = r.Copy(ctx, []string{"there"}, "aside")
	all["delete"] = r.Delete(ctx, []string{"there"})
	return all
}

func TestForeign(t *testing.T) {
	t.Parallel()
	const amz, tag, odd = "x-amz-request-id: 1\r\n", "ETag: \"0123456789abcdef0123456789ABCDEF\"\r\n", "ETag: \"65f1c3a2-2d4\"\r\n"
	const html, xml, json = "Content-Type: text/html; charset=utf-8\r\n", "Content-Type: application/xml\r\n", "Content-Type: application/json\r\n"
	const cloudFront, google, empty, long = "X-Amz-Cf-Id: 1\r\n", "X-GUploader-UploadID: 1\r\n", "Content-Length: 0\r\n", "Content-Length: 105\r\n"
	tests := map[string]struct {
		ops    string
		status int
		header string
		want   string // "": a store's
	}{
		"a write":                              {"put upload", 200, tag, ""},
		"a write under SSE-KMS":                {"put upload", 200, odd + amz, ""},
		"a write that names nothing":           {"put upload", 200, "", "200 OK with no content, without the headers of a store"},
		"a write of a store that names no tag": {"put upload", 200, amz, ""}, // and no tag is counted
		"a page with the tag of a web server":  {"put upload get stat download", 200, odd + html, "200 OK with a page of HTML, without the headers of a store"},
		"a write as Google answers it":         {"put upload", 200, tag + google + html + empty, ""},
		"nothing, called a page":               {"put upload", 200, tag + html + empty, "200 OK with a page of HTML, without the headers of a store"},
		"a page that lies in S3 itself":        {"put upload get list", 200, tag + amz + html + long, "200 OK with a page of HTML, without the headers of a store"},
		"a page that somebody keeps there":     {"download stat copy", 200, tag + html, ""},
		"a page behind CloudFront":             {"put get list stat", 200, cloudFront + html, "200 OK with a page of HTML, without the headers of a store"},
		"an upload in parts, begun or done":    {"upload", 200, xml, ""},
		"a list":                               {"list", 200, xml, ""},
		"a list as rclone serves it":           {"list", 200, "Content-Type: text/xml; charset=utf-8\r\n", ""},
		"a HEAD for a list":                    {"list", 200, "ETag: \"0123456789abcdef0123456789abcdef-3\"\r\n" + html, ""},
		"a HEAD for a list, under SSE-KMS":     {"list", 200, tag + amz, ""},
		"a HEAD for a list, of anybody":        {"list", 200, tag, "200 OK with no content, without the headers of a store"},
		"an empty list":                        {"list", 200, "", "200 OK with no content, without the headers of a store"},
		"XHTML is no XML":                      {"list", 200, "Content-Type: application/xhtml+xml\r\n", "200 OK with a page of HTML, without the headers of a store"},
		"a part of an object":                  {"get download", 206, tag, ""},
		"JSON":                                 {"put upload get stat list delete", 200, json, "200 OK with content of type application/json, without the headers of a store"},
		"a head":                               {"get", 200, json + tag, ""},
		"a delete":                             {"delete", 204, "", ""},
		"no content":                           {"put get stat list download copy", 204, "", "204 No Content with no content, without the headers of a store"},
		"a redirect":                           {"put get list delete", 302, "Location: https://login.example/?secret=1\r\n", "302 Found: a redirect to login.example"},
		"a redirect nowhere":                   {"put get", 307, "", "307 Temporary Redirect"},
		"the redirect of a store":              {"put get", 301, amz + xml, ""},
		"no such key":                          {"get download list", 404, xml, ""},
		"no such key, HEAD":                    {"stat move copy", 404, "", ""},
		"no such page":                         {"get stat list put download delete", 404, html, "404 Not Found with a page of HTML"},
		"no such thing":                        {"get list download", 404, "Content-Type: text/plain\r\n", "404 Not Found with content of type text/plain, not the words of S3"},
		"a method that a web server lacks":     {"stat put", 405, html, "405 Method Not Allowed with a page of HTML"},
		"denied":                               {"put get list", 403, xml, ""},
		"denied, HEAD":                         {"stat", 403, "", ""},
		"denied by a page":                     {"put get stat", 403, html, "403 Forbidden with a page of HTML"},
		"plain HTTP to a port for TLS":         {"put get", 400, html, "400 Bad Request with a page of HTML"},
		"refused under a condition":            {"put", 412, xml, ""},
		"login wanted":                         {"put get stat list", 511, html + amz, "511 Network Authentication Required"},
		"a balancer without a store":           {"put get stat list", 502, html, ""},
		"a balancer that has enough":           {"put get stat list", 429, html, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for op := range strings.FieldsSeq(tt.ops) {
				for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
					a, ok := readAnswer(fmt.Sprintf("Response\n%s %d Whatever\r\n%s\r\n", proto, tt.status, tt.header))
					if got := a.foreign(op); !ok || got != tt.want {
						t.Errorf("%s: %q, want %q", op, got, tt.want)
					}
				}
			}
		})
	}
}

// An upload in parts that fails is aborted, and the store answers that with a 204: it
// was taken for a portal's, and hid what had failed. A portal's own counts for nothing.
func TestUploadInParts(t *testing.T) {
	t.Parallel()
	part := func(r s3test.Request) bool { return r.Method == "PUT" }
	aborted := false // under the proxy's lock
	aborts := func(r s3test.Request) bool { aborted = aborted || r.Method == "DELETE"; return r.Method == "DELETE" }
	tests := map[string]struct {
		fault s3test.Fault
		want  Class
		holds bool // the store, in the end
	}{
		"denied":              {s3test.Fault{If: part, Status: 403, Code: "AccessDenied"}, Unauthorized, false},
		"begun anew":          {s3test.Fault{If: func(r s3test.Request) bool { return part(r) && !aborted }, Drop: true}, Unclassified, true},
		"a portal":            {s3test.Fault{Portal: s3test.PortalNoContent}, Foreign, false},
		"a portal at the end": {s3test.Fault{If: func(r s3test.Request) bool { return r.Method == "POST" && r.Query.Has("uploadId") }, Portal: s3test.PortalNoContent}, Foreign, false},
	}
	s := newStore(t, Options{})
	s.backend.Options["upload_cutoff"] = "5Mi" // the least that rclone takes
	r, err := NewRemote(s.bin, []Backend{s.backend}, s.root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.fault.Kind, aborted = s3test.Multipart, false
			remove := s.proxy.Inject(tt.fault)
			defer s.proxy.Inject(s3test.Fault{Kind: s3test.Multipart, If: aborts, Portal: s3test.PortalNoContent})() // as stores without a mark do
			_, err := r.Upload(t.Context(), tree(t, map[string]string{name: strings.Repeat("x", 6<<20)}), []string{name}, nil)
			if ClassOf(err) != tt.want || (err == nil) != tt.holds {
				t.Errorf("class %s: %v", ClassOf(err), err)
			}
			if aborted == (tt.want == Foreign) {
				t.Errorf("aborted: %v", aborted)
			}
			remove()
			if found, err := s.StatAll(t.Context(), []string{name}); err != nil || (len(found) == 1) != tt.holds {
				t.Errorf("the store holds %v %v", found, err)
			}
		})
	}
}

// Where a 204 came between, the store is asked for more than the size: a mirror's object
// keeps its name, and an edit may leave the size.
func TestUploadAfterNoContent(t *testing.T) {
	answers := `printf '%s\n' '{"level":"debug","object":"S3 SDK","msg":"Response\nHTTP/1.1 200 OK\r\nContent-Type: application/xml\r\n\r\n"}' '{"level":"debug","object":"S3 SDK","msg":"Response\nHTTP/1.1 204 No Content\r\n\r\n"}' >&2; `
	for content, want := range map[string]Class{"new": Unclassified, "old": Foreign} {
		script := `case "$1" in copy) ` + answers + stored("new") + `echo '{"level":"notice","msg":"x","stats":{"transfers":1}}' >&2 ;; *) printf '3,` + ETag([]byte(content)) + `,2026-01-02T03:04:05.000000000Z,a\n' ;; esac`
		_, err := fakeRemote(t, script, Options{}).Upload(t.Context(), tree(t, map[string]string{"a": "new"}), []string{"a"}, nil)
		if ClassOf(err) != want || (err == nil) != (want == Unclassified) {
			t.Errorf("where %q is: %v", content, err)
		}
	}
}

// A store that says "done" without a tag of the content is asked for what it holds.
func TestWriteWithoutATag(t *testing.T) {
	quiet := `case "$1" in rcat) ;; *) printf 12345 ;; esac`
	if err := fakeRemote(t, quiet, Options{}).PutIf(t.Context(), "k", []byte("12345"), Cond{}); err != nil {
		t.Errorf("what is there: %v", err)
	}
	denied := `case "$1" in rcat) ;; *) echo '{"level":"error","msg":"StatusCode: 403, api error AccessDenied: no"}' >&2; exit 1 ;; esac`
	err := fakeRemote(t, denied, Options{}).PutIf(t.Context(), "k", []byte("12345"), Cond{})
	if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "refuses the credentials") {
		t.Errorf("what cannot be read: %v", err)
	}
	for name, script := range map[string]string{"silent": quiet, "another tag": stored("another") + quiet} {
		err := fakeRemote(t, script, Options{}).PutIf(t.Context(), "k", []byte("54321"), Cond{})
		if ClassOf(err) != Foreign || !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	upload := `case "$1" in copy) echo '{"level":"notice","msg":"x","stats":{"transfers":2}}' >&2 ;; *) printf '1,,2026-01-02T03:04:05.000000000Z,%s\n' a b ;; esac`
	for b, want := range map[string]Class{"2": Unclassified, "22": Foreign} {
		_, err := fakeRemote(t, upload, Options{}).Upload(t.Context(), tree(t, map[string]string{"a": "1", "b": b}), []string{"a", "b"}, nil)
		if ClassOf(err) != want || (err == nil) != (want == Unclassified) {
			t.Errorf("upload of %q: %v", b, err)
		}
	}
}

// What an S3 back end wraps is looked at as well; the answers of others are their own.
func TestOverS3(t *testing.T) {
	t.Parallel()
	backends := []Backend{
		{Name: "s", Type: "s3"}, {Name: "d", Type: "webdav"},
		{Name: "cs", Type: "crypt", Options: map[string]string{"remote": "s:bucket/x"}},
		{Name: "ccs", Type: "crypt", Options: map[string]string{"remote": "cs:y"}},
		{Name: "cd", Type: "crypt", Options: map[string]string{"remote": "d:y"}},
		{Name: "circle", Type: "crypt", Options: map[string]string{"remote": "circle:"}},
		{Name: "lost", Type: "crypt", Options: map[string]string{"remote": "nobody:"}},
	}
	for name, want := range map[string]bool{"s": true, "d": false, "cs": true, "ccs": true, "cd": false, "circle": false, "lost": false} {
		if got := overS3(backends, name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
