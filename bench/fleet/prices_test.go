package main

import (
	"math"
	"strings"
	"testing"

	"github.com/coltec/coltec/internal/fleetcost"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

// A month of one renewal a minute is 43,200 writes: 0.216 $ at S3, and nothing at R2, until
// a million is over.
func TestMonth(t *testing.T) {
	s3, r2 := lists[0], lists[1]
	renewals := billOf(map[string]int{"put head": 43_200})
	for _, tt := range []struct {
		what      string
		got, want float64
	}{
		{"S3, idle", s3.month(renewals), 0.216},
		{"R2, idle", r2.month(renewals), 0},
		{"R2, what it costs without that", r2.of(renewals), 0.1944},
		{"R2, fifty idle ones", r2.month(renewals.times(50)), (50*0.0432 - 1) * 4.5},
		{"S3, a million reads", s3.month(bill{reads: 1e6}), 0.4},
		{"R2, eleven million reads", r2.month(bill{reads: 11e6}), 0.36},
		{"deletions", s3.month(billOf(map[string]int{"delete content": 1e6})), 0},
		{"listings are paid as writes", s3.month(billOf(map[string]int{"list other": 1e6})), 5},
		{"copies too", s3.month(billOf(map[string]int{"copy content": 1e6})), 5},
		{"HEADs as reads", s3.month(billOf(map[string]int{"head content": 1e6, "get head": 1e6})), 0.8},
	} {
		if !near(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.what, tt.got, tt.want)
		}
	}
}

// A fleet is made of its shares, and grows with its workspaces.
func TestFleetMonth(t *testing.T) {
	days := map[string]fleetcost.Day{
		"idle":      {Work: map[string]int{"put head": 480}, Rest: map[string]int{"put head": 960}},
		"developer": {Work: map[string]int{"put head": 1480}, Rest: map[string]int{"put head": 960}},
		"agents":    {Work: map[string]int{"put head": 9480}, Rest: map[string]int{"put head": 960}},
	}
	idle := 1440.0 * (workdays + restdays)
	want := 5*idle + 2*1000*workdays + 9000*workdays
	if got := fleetMonth(days, 5).writes; !near(got, want) {
		t.Errorf("five: %v, want %v", got, want)
	}
	if got := fleetMonth(days, 1000).writes; !near(got, 200*want) {
		t.Errorf("a thousand: %v, want %v", got, 200*want)
	}
}

// Each renewal leaves a version of the head, and a day of rest is that of an idle one.
func TestVersions(t *testing.T) {
	p := page{simulated: fleetcost.Figures{Workloads: map[string]fleetcost.Day{
		"idle":   {Work: map[string]int{"put head": 480}, Rest: map[string]int{"put head": 960, "put digest": 1}},
		"agents": {Work: map[string]int{"put head": 2480, "put digest": 30, "delete digest": 29}, Rest: map[string]int{"put head": 960}},
	}}}
	text := p.versions()
	for _, want := range []string{
		"| idle: up, and nobody does anything | 43,200 | 0.35 | 0.01 $ | 30 | 0 |",
		"| four agents at work | 87,200 | 0.71 | 0.02 $ | 668 | 638 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}
