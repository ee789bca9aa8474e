package main

import (
	"strings"

	"github.com/coltec/coltec/internal/fleetcost"
)

// prices are what a store asks for requests, in dollars.
type prices struct {
	name    string
	address string  // where the list is
	write   float64 // for a million of those that write or list
	read    float64 // for a million of those that read
	kept    float64 // for a gigabyte that is kept for a month
	free    bill    // what of a month costs nothing
	rate    string  // how many a second it takes
}

// lists are the list prices as their pages had them in November 2026.
var lists = []prices{
	{
		name: "S3", address: "https://aws.amazon.com/s3/pricing/", write: 5, read: 0.4, kept: 0.023,
		rate: "3,500 that write and 5,500 that read, for each prefix that it has split off",
	},
	{
		name: "R2", address: "https://developers.cloudflare.com/r2/pricing/", write: 4.5, read: 0.36, kept: 0.015, free: bill{1e6, 10e6},
		rate: "one that writes, for each key",
	},
}

// bill is what requests are paid as: writes and listings, and reads. Deletions cost nothing.
type bill struct{ writes, reads float64 }

// billOf sorts what was counted, as "put head" → 3.
func billOf(requests map[string]int) (b bill) {
	for what, n := range requests {
		switch kind, _, _ := strings.Cut(what, " "); kind {
		case "get", "head":
			b.reads += float64(n)
		case "delete":
		default: // put, copy, list, and what nobody has thought of: the dearer kind
			b.writes += float64(n)
		}
	}
	return b
}

func (b bill) plus(o bill) bill { return bill{b.writes + o.writes, b.reads + o.reads} }

func (b bill) times(n float64) bill { return bill{b.writes * n, b.reads * n} }

// of is what requests cost.
func (p prices) of(b bill) float64 { return (b.writes*p.write + b.reads*p.read) / 1e6 }

// month is what the requests of a month cost, where nothing else uses what is free.
func (p prices) month(b bill) float64 {
	return p.of(bill{max(0, b.writes-p.free.writes), max(0, b.reads-p.free.reads)})
}

// Days of a month: those on which somebody works for eight hours, and those on which the
// workspaces are only up.
const workdays, restdays = 22, 8

// shares are how many of five workspaces are what.
var shares = map[string]float64{"idle": 2, "developer": 2, "agents": 1}

// monthOf is what a workspace of a kind asks for in a month, up all the time.
func monthOf(days map[string]fleetcost.Day, kind string) bill {
	rest := billOf(days["idle"].Work).plus(billOf(days["idle"].Rest))
	return billOf(days[kind].Work).plus(billOf(days[kind].Rest)).times(workdays).plus(rest.times(restdays))
}

// fleetMonth is that of so many workspaces, in the shares of the simulation.
func fleetMonth(days map[string]fleetcost.Day, workspaces int) (all bill) {
	for kind, share := range shares {
		all = all.plus(monthOf(days, kind).times(share / 5 * float64(workspaces)))
	}
	return all
}
