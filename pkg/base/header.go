package base

import "github.com/coltec/coltec/pkg/filter"

// Header tells what a base is the base of.
type Header struct {
	Format     int    `json:"format"`
	Workspace  string `json:"workspace"` // org/project/env
	Replica    string `json:"replica"`
	Lineage    string `json:"lineage"` // of the head that it was agreed with
	Device     uint64 `json:"device"`  // of the root directory
	Inode      uint64 `json:"inode"`
	Epoch      int64  `json:"epoch"`
	Generation int64  `json:"generation"` // the generation that the rows and what is unplaced make up
	Ref        string `json:"ref"`        // what the head calls that tree: a manifest
	// Before is the ref that Ref was made over here, when all of that one had been placed;
	// "" where Ref came from the bucket. A bucket that has Before again has lost Ref: then
	// Before is Ref too, and a base without a Ref has only Before.
	Before   string        `json:"before,omitempty"`
	Restored bool          `json:"restored"` // all of the generation was placed, or is known to be impossible to place
	Filters  []filter.Rule `json:"filters"`
	// Carries is the hash of our own filters, through which the generation was
	// seen; Filters are those of who made it.
	Carries string `json:"carries,omitempty"`
	// Allowed counts the deletions that somebody had a say in, as the head did when all
	// of them were placed here.
	Allowed int64 `json:"allowed,omitempty"`
}

// baseFormat is the version of the files that hold a base.
const baseFormat = 1
