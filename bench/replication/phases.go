package main

import (
	"path"
	"strings"
	"time"

	"github.com/coltec/coltec/internal/s3test"
)

// phases are where the time of a save goes, by the requests that came in it.
type phases struct {
	round int
	wall  time.Duration
	look  time.Duration // until content is sent: who asks, the walk, the reading
	sent  time.Duration // content
	rows  time.Duration // from there until the manifest is sent: what differs in the tree
	tree  time.Duration // the manifest
	last  time.Duration // from there until the head is sent
	head  time.Duration
	rest  time.Duration // from there until who asked has its answer
	other []string      // requests beside those, and when they began
}

// phasesOf sorts the requests that came from a moment on.
func phasesOf(round int, began time.Time, wall time.Duration, requests []s3test.Request) phases {
	p := phases{round: round, wall: wall}
	at := began
	step := func(before, took *time.Duration, r s3test.Request) {
		*before, *took = r.Start.Sub(at), r.Took
		at = r.Start.Add(r.Took)
	}
	for _, r := range requests {
		if r.Start.Before(began) {
			continue
		}
		_, key, _ := strings.Cut(r.Key, ".coltec/")
		switch {
		case r.Kind == s3test.Put && strings.HasPrefix(key, "o/") && p.sent == 0:
			step(&p.look, &p.sent, r)
		case r.Kind == s3test.Put && strings.HasPrefix(key, "m/") && p.tree == 0:
			step(&p.rows, &p.tree, r)
		case r.Kind == s3test.Put && path.Base(key) == "head.json" && p.tree > 0 && p.head == 0:
			step(&p.last, &p.head, r)
		default:
			p.other = append(p.other, string(r.Kind)+" "+path.Base(path.Dir(r.Key))+" at "+r.Start.Sub(began).Round(time.Millisecond).String())
		}
	}
	p.rest = began.Add(wall).Sub(at)
	return p
}

// sayPhases tells of each save where its time went.
func (b *bench) sayPhases(saves []phases) {
	b.say("%5s %6s | %6s %6s %6s %6s %6s %6s %6s ms", "save", "all", "look", "sent", "rows", "tree", "last", "head", "rest")
	for _, p := range saves {
		ms := time.Duration.Milliseconds
		b.say("%5d %6d | %6d %6d %6d %6d %6d %6d %6d  %s", p.round, ms(p.wall), ms(p.look), ms(p.sent), ms(p.rows), ms(p.tree), ms(p.last), ms(p.head), ms(p.rest), strings.Join(p.other, ", "))
	}
}
