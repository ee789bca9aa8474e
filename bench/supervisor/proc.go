package main

import "github.com/coltec/coltec/bench/internal/proc"

// processes are those of a run: the supervisor's own, without the services.
func processes(dir string) (own []int) {
	for _, pid := range proc.Marked(dir) {
		switch proc.Name(pid) {
		case "sleep", "sh", "seq", "sv": // a service
		default:
			own = append(own, pid)
		}
	}
	return own
}
