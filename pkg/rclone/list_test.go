package rclone

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReadRows(t *testing.T) {
	const md5 = "b1946ac92492d2347c6235b4d2611184"
	tests := map[string]struct {
		columns, in string
		want        []Object
		err         string
	}{
		"none":            {"shp", "", nil, ""},
		"plain":           {"shp", "6," + md5 + ",a/b\n", []Object{{Key: "a/b", Size: 6, MD5: md5}}, ""},
		"quoted":          {"shp", `6,,"a,""b"` + "\n", []Object{{Key: `a,"b`, Size: 6}}, ""},
		"a quote inside":  {"sp", `6,a"b` + "\n", []Object{{Key: `a"b`, Size: 6}}, ""},
		"raw bytes":       {"sp", "6,\xff\r\n", []Object{{Key: "\xff\r", Size: 6}}, ""},
		"a picture":       {"sp", "6,a␊b\n", []Object{{Key: "a\nb", Size: 6}}, ""},
		"no such hash":    {"shp", "6,UNSUPPORTED,a\n", []Object{{Key: "a", Size: 6}}, ""},
		"time":            {"stp", "6,2026-11-23T23:25:11.907000000Z,a\n", []Object{{Key: "a", Size: 6, ModTime: time.Date(2026, 11, 23, 23, 25, 11, 907_000_000, time.UTC)}}, ""},
		"two":             {"sp", "1,a\n2,b\n", []Object{{Key: "a", Size: 1}, {Key: "b", Size: 2}}, ""},
		"no end":          {"sp", "1,a", nil, "cut short"},
		"no end, quoted":  {"sp", "1,\"a\n", nil, "cut short"},
		"too few columns": {"sp", "1\n", nil, "no row"},
		"no size":         {"sp", "x,a\n", nil, "invalid syntax"},
		"no time":         {"stp", "1,yesterday,a\n", nil, "cannot parse"},
		"endless":         {"sp", "1," + strings.Repeat("x", maxRow+1), nil, "longer than"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []Object
			err := readRows(strings.NewReader(tt.in), tt.columns, func(o Object) error {
				got = append(got, o)
				return nil
			})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if tt.err == "" && err != nil || tt.err != "" && (!errors.Is(err, errRows) || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
		})
	}
}

// An error of the caller's ends the listing and comes back as it is.
func TestListEachStops(t *testing.T) {
	r := fakeRemote(t, `while :; do echo 1,,a; done`, Options{})
	enough, n := errors.New("enough"), 0
	err := r.ListEach(t.Context(), "", ListOptions{}, func(Object) error {
		if n++; n == 3 {
			return enough
		}
		return nil
	})
	if err != enough || n != 3 {
		t.Errorf("%v after %d", err, n)
	}
}

func FuzzReadRows(f *testing.F) {
	f.Add([]byte("6,b1946ac92492d2347c6235b4d2611184,\"a,\"\"b\"\n"))
	f.Add([]byte("6,,\xff\n1"))
	f.Fuzz(func(t *testing.T, in []byte) {
		err := readRows(strings.NewReader(string(in)), "shp", func(o Object) error { return nil })
		if err != nil && !errors.Is(err, errRows) {
			t.Errorf("%q: %v", in, err)
		}
	})
}
