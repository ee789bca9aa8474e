package rclone

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// baseFlags end each command; the number is that of the low-level tries.
func baseFlags(tries string) string {
	return " --use-json-log --retries 1 --low-level-retries " + tries + " --contimeout 5s --timeout 30s"
}

// answerFlags make rclone log the headers of S3's answers, and nothing of a request.
const answerFlags = " --log-level DEBUG --s3-sdk-log-mode Response"

const bulkFlags = " --stats 1s --stats-log-level NOTICE --buffer-size 0 --transfers 4 --checkers 8"

func TestArgv(t *testing.T) {
	opts := func(change func(*Options)) *Options {
		o := &Options{}
		o.fill()
		if change != nil {
			change(o)
		}
		return o
	}
	plain := opts(nil)
	const root = "p:b/x"
	tests := map[string]struct {
		argv []string
		want string
	}{
		"put": {
			plain.putArgv(root, "k", 10, Cond{}),
			"rcat p:b/x/k --s3-no-head --s3-no-check-bucket" + baseFlags("1"),
		},
		"put, over S3": {
			opts(func(o *Options) { o.overS3 = true }).putArgv(root, "k", 10, Cond{}),
			"rcat p:b/x/k --s3-no-head --s3-no-check-bucket" + baseFlags("1") + answerFlags,
		},
		"put, create": {
			plain.putArgv(root, "k", 10, IfAbsent),
			"rcat p:b/x/k --header-upload If-None-Match:_* --s3-no-head --s3-no-check-bucket" + baseFlags("1"),
		},
		"put, match": {
			plain.putArgv(root, "k", 10, IfMatch("abc")),
			`rcat p:b/x/k --header-upload If-Match:_"abc" --s3-no-head --s3-no-check-bucket` + baseFlags("1"),
		},
		"put, a name in rclone's encoding": {
			plain.putArgv("p:", "a\nb", 10, Cond{}),
			"rcat p:a␊b --s3-no-head --s3-no-check-bucket" + baseFlags("1"),
		},
		"put, the largest that rclone holds by itself": {
			plain.putArgv("p:", "k", 100<<10-1, Cond{}),
			"rcat p:k --s3-no-head --s3-no-check-bucket" + baseFlags("1"),
		},
		"put, one byte more": {
			plain.putArgv("p:", "k", 100<<10, Cond{}),
			"rcat p:k --s3-no-head --s3-no-check-bucket --streaming-upload-cutoff 101Ki" + baseFlags("1"),
		},
		"get": {
			plain.getArgv(root),
			"cat p:b/x/ --files-from-raw - --no-traverse --s3-no-head-object" + baseFlags("1"),
		},
		"stat": {
			plain.statArgv(root),
			"lsf p:b/x/ --files-from-raw - --no-traverse --use-server-modtime -R --files-only --csv --format shtp --hash MD5 --time-format " + rowTime + baseFlags("2"),
		},
		"stat, without hashes": {
			opts(func(o *Options) { o.noHash = true }).statArgv(root),
			"lsf p:b/x/ --files-from-raw - --no-traverse --use-server-modtime -R --files-only --csv --format stp --time-format " + rowTime + baseFlags("2"),
		},
		"list": {
			plain.listArgv(root, ListOptions{}),
			"lsf p:b/x/ --fast-list -R --files-only --csv --format shp --hash MD5" + baseFlags("2"),
		},
		"list, with times": {
			plain.listArgv("p:", ListOptions{ModTime: true}),
			"lsf p: --fast-list --use-server-modtime -R --files-only --csv --format shtp --hash MD5 --time-format " + rowTime + baseFlags("2"),
		},
		"upload": {
			plain.uploadArgv("/d", root),
			"copy /d p:b/x/ --files-from-raw - --no-traverse --no-check-dest --s3-no-head --s3-no-check-bucket" + baseFlags("2") + bulkFlags,
		},
		"upload, all options": {
			opts(func(o *Options) {
				o.Metadata, o.BwLimit, o.Transfers, o.Checkers = true, "10M", 7, 9
				o.ConnectTimeout, o.IdleTimeout = time.Second, time.Minute
			}).uploadArgv("/d", root),
			"copy /d p:b/x/ --files-from-raw - --no-traverse --no-check-dest --s3-no-head --s3-no-check-bucket --metadata" +
				" --use-json-log --retries 1 --low-level-retries 2 --contimeout 1s --timeout 1m0s" +
				" --stats 1s --stats-log-level NOTICE --buffer-size 0 --transfers 7 --checkers 9 --bwlimit 10M",
		},
		"download": {
			plain.downloadArgv(root, "/d"),
			"copy p:b/x/ /d --files-from-raw - --no-traverse --no-check-dest --inplace --s3-no-head-object" +
				" --log-level INFO --ignore-checksum" + baseFlags("2") + bulkFlags,
		},
		"download, over S3": {
			opts(func(o *Options) { o.overS3 = true }).downloadArgv(root, "/d"),
			"copy p:b/x/ /d --files-from-raw - --no-traverse --no-check-dest --inplace --s3-no-head-object" +
				" --ignore-checksum" + baseFlags("2") + answerFlags + bulkFlags,
		},
		"download of plain objects": {
			opts(func(o *Options) { o.Metadata = true }).downloadArgv(root, "/d"),
			"copy p:b/x/ /d --files-from-raw - --no-traverse --no-check-dest --inplace --s3-no-head-object" +
				" --log-level INFO --metadata" + baseFlags("2") + bulkFlags,
		},
		"delete": {
			plain.deleteArgv(root),
			"delete p:b/x/ --files-from-raw - --no-traverse --s3-no-head-object" + baseFlags("2") + bulkFlags,
		},
		"move": {
			plain.withinArgv("move", root, "p:b/x/h"),
			"move p:b/x/ p:b/x/h/ --files-from-raw - --no-traverse --no-check-dest --s3-no-check-bucket" + baseFlags("2") + bulkFlags,
		},
		"mount": {
			plain.mountArgv(root, "/m", MountOptions{WriteBack: time.Second, DirCache: time.Minute, ReadOnly: true, AllowOther: true, CacheDir: "/c"}),
			"mount p:b/x /m --vfs-cache-mode writes --vfs-write-back 1s --cache-dir /c --read-only --allow-other --dir-cache-time 1m0s" +
				" --use-json-log --contimeout 5s --timeout 30s --transfers 4",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for i := range tt.argv {
				tt.argv[i] = strings.ReplaceAll(tt.argv[i], " ", "_")
			}
			if diff := cmp.Diff(tt.want, strings.Join(tt.argv, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMount(t *testing.T) {
	backend := Backend{Name: "p", Type: "s3", Options: map[string]string{"secret_access_key": "verysecret"}}
	r, err := NewRemote(Binary{Path: "/bin/rclone"}, []Backend{backend}, "p:b", Options{Env: noEnv, BwLimit: "1M"})
	if err != nil {
		t.Fatal(err)
	}
	argv, env := r.Mount("/workspace", MountOptions{})
	if argv[0] != "/bin/rclone" || !slices.Contains(argv, "1M") || !slices.Contains(argv, "/workspace") {
		t.Errorf("argv %q", argv)
	}
	if strings.Contains(strings.Join(argv, " "), "verysecret") || !slices.Contains(env, "RCLONE_CONFIG_P_SECRET_ACCESS_KEY=verysecret") {
		t.Errorf("argv %q env %q", argv, env)
	}
}

func TestCheckKey(t *testing.T) {
	tests := map[string]bool{
		"a": true, "a/b": true, "-a": true, "a b ": true, "...": true, "a\nb": true, "#a": true, ".hidden": true,
		"": false, "/a": false, "a/": false, "a//b": false, ".": false, "a/../b": false, "./a": false, "a\x00b": false,
	}
	for key, want := range tests {
		if got := checkKey(key) == nil; got != want {
			t.Errorf("checkKey(%q) = %v", key, got)
		}
	}
}

func TestRoot(t *testing.T) {
	tests := map[string]struct{ got, want string }{
		"nothing":       {Root("p"), "p:"},
		"bucket":        {Root("p", "b"), "p:b"},
		"empty prefix":  {Root("p", "b", ""), "p:b"},
		"slashes":       {Root("p", "b/", "/x/", "y"), "p:b/x/y"},
		"absolute path": {Root("l", "/srv/x"), "l:/srv/x"},
	}
	for name, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", name, tt.got, tt.want)
		}
	}
}

func TestCondString(t *testing.T) {
	for want, c := range map[string]Cond{"any": {}, "absent": IfAbsent, "etag x": IfMatch("x")} {
		if got := c.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// noEnv is an environment with nothing in it.
func noEnv(string) (string, bool) { return "", false }
