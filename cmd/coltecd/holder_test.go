package main

import (
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/pkg/status"
)

// Who had handed over was said to hold the lease "since 0001-01-01".
func TestHolderWithoutSince(t *testing.T) {
	h := &status.Holder{Host: "a"}
	doc := status.Document{Lease: status.Lease{State: status.LeaseWaiting, Epoch: 1, Holder: h}}
	texts := []string{
		h.String(), restoreLine(doc), renderer{now: time.Now}.document(doc),
		renderer{now: time.Now}.ago(&time.Time{}), renderer{now: time.Now}.in(&time.Time{}),
	}
	var body strings.Builder
	if err := compactJSON(&body, doc); err != nil {
		t.Fatal(err)
	}
	for _, text := range append(texts, body.String()) {
		if strings.Contains(text, "0001") || strings.Contains(text, "106751d") { // as far as a duration goes
			t.Errorf("it says %q", text)
		}
	}
}

func TestHolderSince(t *testing.T) {
	h := status.Holder{Host: "a", Since: noon}
	if got, want := h.String(), "a has held the lease since "+noon.Local().Format(time.DateTime); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
