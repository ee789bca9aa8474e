// Package fleetcost is what engine.TestFleet measures, and bench/fleet makes a page of.
package fleetcost

// Figures are those of a simulation, as the file of -fleet has them.
type Figures struct {
	Seed      uint64           `json:"seed"`
	Renew     float64          `json:"renew_seconds"`
	Latency   float64          `json:"latency_seconds"`
	Workloads map[string]Day   `json:"workloads"`
	Fleets    map[string]Hours `json:"fleets"` // by the number of workspaces
	Throttled []Hours          `json:"throttled"`
}

// Day is what a workspace asks for: in its start, in eight hours of work, and in the sixteen
// after, with one collection. Requests are counted by what they ask for: "put head" → 3.
type Day struct {
	Start map[string]int `json:"start"`
	Work  map[string]int `json:"work"`
	Rest  map[string]int `json:"rest"`
	Saves int            `json:"saves"`
}

// Hours is what a fleet did in a time.
type Hours struct {
	Workspaces  int            `json:"workspaces"`
	Minutes     float64        `json:"minutes"`
	Limit       int            `json:"limit"` // requests a second; 0: as many as come
	Requests    map[string]int `json:"requests"`
	Refused     int            `json:"refused"`
	Median      int            `json:"per_second_median"`
	Most        int            `json:"per_second_most"`
	AtStart     int            `json:"per_second_most_at_start"`
	Saves       int            `json:"saves"`
	SaveMedian  float64        `json:"save_seconds_median"`
	SaveMost    float64        `json:"save_seconds_most"`
	Leaseless   float64        `json:"leaseless_seconds"`
	Took        float64        `json:"took_seconds"`
	OnlyHere    int            `json:"only_here"` // changes in no bucket a minute after the work
	PerWorkload map[string]int `json:"per_workload"`
}
