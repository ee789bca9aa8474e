package main

import (
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/status"
)

func TestHolds(t *testing.T) {
	since := time.Unix(1, 0)
	for want, h := range map[string]status.Holder{
		"a has the lease": {Host: "a"},
		"a has held the lease since " + since.Local().Format(time.DateTime): {Host: "a", Since: since},
	} {
		if got := holds(h); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
