package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/internal/sample"
	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/spec"
)

// What a test cannot break on the machine that it runs on: limits of the kernel, and
// its clock.
func TestDoctorsLimits(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]struct {
		err       error
		want, fix string // "": nothing is wrong
	}{
		"few watches":       {enough("max_user_watches", "8192\n", watchesLeast, 524288), "fs.inotify.max_user_watches is 8192, few", "sudo sysctl fs.inotify.max_user_watches=524288"},
		"enough watches":    {enough("max_user_watches", "65536\n", watchesLeast, 524288), "", ""},
		"few instances":     {enough("max_user_instances", "16\n", instancesLeast, 1024), "fs.inotify.max_user_instances is 16", "max_user_instances=1024"},
		"a clock ahead":     {skew(now.Add(-time.Hour), now), "this clock is 1h0m0s ahead of the store's", "timedatectl set-ntp true"},
		"a clock behind":    {skew(now.Add(6*time.Minute), now), "this clock is 6m0s behind the store's", "timedatectl"},
		"a good clock":      {skew(now.Add(-4*time.Minute), now), "", ""},
		"a store with none": {skew(time.Time{}, now), "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			switch {
			case tt.want == "" && tt.err != nil:
				t.Error(tt.err)
			case tt.want == "":
			case tt.err == nil, !strings.Contains(tt.err.Error(), tt.want), !strings.Contains(strings.Join(hint.Of(tt.err), " "), tt.fix):
				t.Errorf("%v, %q", tt.err, hint.Of(tt.err))
			}
		})
	}
}

// doctored is what doctor finds of the bucket of a store with a fault.
func doctored(t *testing.T, fault s3test.Fault) string {
	t.Helper()
	s := s3test.Start(t)
	proxy := s.Proxy(t)
	proxy.Inject(fault)
	path, err := s3test.Rclone()
	if err != nil {
		t.Fatal(err)
	}
	backend := rclone.Backend{Name: "primary", Type: "s3", Options: s.Options(proxy.Endpoint)}
	root, err := rclone.NewRemote(rclone.Binary{Path: path, Version: rclone.Needed}, []rclone.Backend{backend}, rclone.Root("primary", s.Bucket), rclone.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sp, err := spec.Parse("spec", []byte("version: 1\nname: a\nmetadata: {org: acme, project: widget}\n"))
	if err != nil {
		t.Fatal(err)
	}
	f := &findings{}
	examineBucket(t.Context(), f, &workspace{spec: sp}, root, nil)
	return f.String()
}

// A store that refuses a request for its time speaks of the clock, not of the bucket.
func TestDoctorBeforeASkewedStore(t *testing.T) {
	text := doctored(t, s3test.Fault{Status: http.StatusForbidden, Code: "RequestTimeTooSkewed"})
	for _, want := range []string{"skip  bucket", "FAIL  clock: ", "this machine's clock is too far from the store's", "fix: set the clock"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
}

// A store that insists on its region was said to refuse the credentials.
func TestDoctorBeforeAStrictRegion(t *testing.T) {
	text := doctored(t, s3test.Fault{Status: http.StatusBadRequest, Code: "AuthorizationHeaderMalformed", Message: "The authorization header is malformed; the region 'auto' is wrong; expecting 'eu-central-1'"})
	for _, want := range []string{"FAIL  bucket: ", "the bucket is in another region than the remote says", "coltec update DIR --data region=eu-central-1"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
}

// What a start does first is looked at: doctor said ok of stores that no workspace starts on.
func TestDoctorBeforeOddStores(t *testing.T) {
	sample.Long(t)
	for name, c := range map[string]struct {
		fault s3test.Fault
		want  []string
	}{
		"no right to list":        {s3test.Fault{Kind: s3test.List, Status: http.StatusForbidden, Code: "AccessDenied"}, []string{"ok    bucket", "FAIL  reading and listing: cannot list", "the right to list the bucket (s3:ListBucket)", "ok    conditional writes"}},
		"refuses what is missing": {s3test.Fault{Kind: s3test.Get, Status: http.StatusForbidden, Code: "AccessDenied"}, []string{"ok    bucket", "FAIL  reading and listing: cannot get", "without that, stores refuse what is not there, too"}},
		"lists nothing":           {s3test.Fault{Kind: s3test.List, Status: http.StatusNotFound, Code: "NoSuchKey"}, []string{"FAIL  reading and listing: ", "the bucket does not exist", "correct its name and the endpoint"}},
		"an archive":              {s3test.Fault{Kind: s3test.Get, Status: http.StatusForbidden, Code: "InvalidObjectState"}, []string{"FAIL  reading and listing: ", "the object is in an archive", "end the rule of the bucket"}},
		"If-Match is refused":     {s3test.Fault{If: func(r s3test.Request) bool { return r.Header.Get("If-Match") != "" }, Status: http.StatusForbidden, Code: "AccessDenied"}, []string{"ok    bucket", "FAIL  conditional writes: the bucket takes writes, and refuses conditional ones", "let If-Match and If-None-Match through"}},
		"SSE-KMS":                 {s3test.Fault{Seal: s3test.SealedBy(http.Header{"X-Amz-Server-Side-Encryption": {"aws:kms"}})}, []string{"ok    bucket", "ok    reading and listing", "ok    conditional writes"}},
		"no right to delete":      {s3test.Fault{Kind: s3test.Delete, Status: http.StatusForbidden, Code: "AccessDenied"}, []string{"FAIL  bucket: cannot delete", "the right to delete (s3:DeleteObject)"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := doctored(t, c.fault)
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("it does not say %q:\n%s", want, text)
				}
			}
		})
	}
}
