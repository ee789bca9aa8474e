package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/coltec/coltec/internal/fleetcost"
)

// page is what is known of fleets.
type page struct {
	at        time.Time
	cpus      int
	simulated fleetcost.Figures
	looks     []look
}

// kinds of workspaces, in the order of the page, and what is done there.
var kinds = []struct{ kind, title string }{
	{"idle", "idle: up, and nobody does anything"},
	{"developer", "developer: a file saved each 30 s"},
	{"agents", "four agents at work"},
}

func total(requests map[string]int) (n int) {
	for _, more := range requests {
		n += more
	}
	return n
}

// number writes a number with its thousands apart.
func number[N int | float64](n N) string {
	text := fmt.Sprintf("%.0f", float64(n))
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func dollars(d float64) string { return fmt.Sprintf("%.2f $", d) }

func (p page) text() string {
	var b strings.Builder
	s := p.simulated
	fmt.Fprintf(&b, pageHead, p.at.Format(time.DateOnly), p.cpus, s.Seed, s.Renew, s.Latency*1000)
	b.WriteString("## A month\n\n" + p.months())
	fmt.Fprintf(&b, monthNotes, workdays, restdays)
	for _, l := range lists {
		free := ""
		if l.free != (bill{}) {
			free = fmt.Sprintf("; %s and %s of them in a month are free", number(l.free.writes), number(l.free.reads))
		}
		fmt.Fprintf(&b, "- %s: %.2f $ for a million requests that write or list, %.2f $ for a million that read%s (%s, as cited in November 2026).\n", l.name, l.write, l.read, free, l.address)
	}
	b.WriteString("\n## A workspace\n\n" + p.workspaces())
	b.WriteString("\n## What they ask for\n\n" + p.requests())
	b.WriteString("\n## Where the bucket keeps versions\n\n" + p.versions() + versionsNotes)
	b.WriteString("\n## At once\n\n" + p.atOnce() + atOnceNotes)
	b.WriteString("\n## Throttled\n\n" + p.throttled() + throttledNotes)
	b.WriteString("\n## Listing them\n\n" + p.listing() + listingNotes)
	return b.String()
}

// table writes rows of cells; the first is the head.
func table(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
		}
	}
	return b.String()
}

// months are what fleets cost.
func (p page) months() string {
	head := []string{"workspaces", "that write or list", "that read"}
	for _, l := range lists {
		head = append(head, l.name)
		if l.free != (bill{}) {
			head = append(head, l.name+", less what is free")
		}
	}
	rows := [][]string{head}
	for _, n := range []int{5, 50, 1000} {
		m := fleetMonth(p.simulated.Workloads, n)
		row := []string{number(n), number(m.writes), number(m.reads)}
		for _, l := range lists {
			row = append(row, dollars(l.of(m)))
			if l.free != (bill{}) {
				row = append(row, dollars(l.month(m)))
			}
		}
		rows = append(rows, row)
	}
	return table(rows)
}

// workspaces are what one of each kind costs.
func (p page) workspaces() string {
	head := []string{"workspace", "saves in 8 hours", "requests then", "and in the 16 after", "in a month", "of them writes"}
	for _, l := range lists {
		head = append(head, l.name)
	}
	rows := [][]string{head}
	for _, k := range kinds {
		d, m := p.simulated.Workloads[k.kind], monthOf(p.simulated.Workloads, k.kind)
		row := []string{k.title, number(d.Saves), number(total(d.Work)), number(total(d.Rest)), number(m.writes + m.reads), number(m.writes)}
		for _, l := range lists {
			row = append(row, dollars(l.of(m)))
		}
		rows = append(rows, row)
	}
	return table(rows)
}

// requests are those of a day of work, by kind and object.
func (p page) requests() string {
	all := map[string]bool{}
	head := []string{"request"}
	for _, k := range kinds {
		head = append(head, k.kind)
		for what := range dayOf(p.simulated.Workloads[k.kind]) {
			all[what] = true
		}
	}
	rows := [][]string{head}
	for _, what := range slices.Sorted(maps.Keys(all)) {
		row := []string{what}
		for _, k := range kinds {
			row = append(row, number(dayOf(p.simulated.Workloads[k.kind])[what]))
		}
		rows = append(rows, row)
	}
	return "In a day with eight hours of work, the collection of garbage among them:\n\n" + table(rows)
}

// headSize is how many bytes a head has, about: it names generations of late.
const headSize = 8 << 10

// versions are what a month adds to a bucket that deletes nothing whole.
func (p page) versions() string {
	rows := [][]string{{"workspace", "versions of its head", "in GB", "a month of them (S3)", "versions of digests", "marks of deleted ones"}}
	days := p.simulated.Workloads
	for _, k := range kinds {
		month := func(what string) float64 {
			return float64(dayOf(days[k.kind])[what]*workdays + dayOf(days["idle"])[what]*restdays)
		}
		gigabytes := month("put head") * headSize / 1e9
		rows = append(rows, []string{
			k.title, number(month("put head")), fmt.Sprintf("%.2f", gigabytes), dollars(gigabytes * lists[0].kept), number(month("put digest")), number(month("delete digest")),
		})
	}
	return "What a month adds to a bucket with versions, beside what is deleted as garbage:\n\n" + table(rows)
}

// dayOf is all that is asked for in a day.
func dayOf(d fleetcost.Day) map[string]int {
	all := maps.Clone(d.Work)
	for what, n := range d.Rest {
		all[what] += n
	}
	return all
}

// atOnce are the fleets that were live together.
func (p page) atOnce() string {
	rows := [][]string{{"live", "minutes", "requests a minute", "for each workspace", "most in a second", "most in a second when all start at once", "saves", "a save is in the bucket after", "at most"}}
	for _, n := range []string{"5", "50"} {
		h := p.simulated.Fleets[n]
		perMinute := float64(total(h.Requests)) / h.Minutes
		rows = append(rows, []string{
			n, number(h.Minutes), fmt.Sprintf("%.1f", perMinute), fmt.Sprintf("%.2f", perMinute/float64(h.Workspaces)), number(h.Most), number(h.AtStart),
			number(h.Saves), fmt.Sprintf("%.1f s", h.SaveMedian), fmt.Sprintf("%.1f s", h.SaveMost),
		})
	}
	h := p.simulated.Fleets["50"]
	perSecond := float64(total(h.Requests)) / h.Minutes / 60 * 20
	return table(rows) + fmt.Sprintf(atOnceThousand, perSecond, perSecond/3500*100, number(20*h.AtStart), number(20*h.Most))
}

// throttled are fifty workspaces below limits.
func (p page) throttled() string {
	rows := [][]string{{"requests a second", "refused", "of all", "saves", "a save is in the bucket after", "at most", "time without a lease, of all", "changes in no bucket a minute after the work"}}
	add := func(h fleetcost.Hours, limit string) {
		rows = append(rows, []string{
			limit, number(h.Refused), fmt.Sprintf("%.1f %%", 100*float64(h.Refused)/float64(max(1, total(h.Requests)))), number(h.Saves),
			fmt.Sprintf("%.1f s", h.SaveMedian), fmt.Sprintf("%.1f s", h.SaveMost),
			fmt.Sprintf("%.2f %%", 100*h.Leaseless/(h.Minutes*60*float64(h.Workspaces))), number(h.OnlyHere),
		})
	}
	add(p.simulated.Fleets["50"], "as many as come")
	for _, h := range p.simulated.Throttled {
		add(h, number(h.Limit))
	}
	return table(rows)
}

// listing are the ways to look at a fleet.
func (p page) listing() string {
	rows := [][]string{{
		"workspaces", "latency", "coltec ls", "without digests", "rclone lsf -R: names alone", "rclone copy of all heads, four at a time",
		"requests of coltec ls", "without digests", "a look each minute of 8 hours, 22 days (S3)", "without digests",
	}}
	for _, n := range sizes {
		for _, latency := range latencies {
			find := func(by string, digests bool) look {
				return p.looks[slices.IndexFunc(p.looks, func(l look) bool {
					return l.Heads == n && l.Latency == latency && l.By == by && l.Digests == digests
				})]
			}
			ours, before := find(byColtec, true), find(byColtec, false)
			cost := func(l look) string { return dollars(lists[0].of(billOf(l.Requests)) * 60 * 8 * workdays) }
			asks := func(l look) string { return fmt.Sprintf("%d LIST, %d GET", l.Requests["list"], l.Requests["get"]) }
			rows = append(rows, []string{
				number(n), latency.String(), seconds(ours.Took), seconds(before.Took), seconds(find(byNames, true).Took), seconds(find(byCopy, true).Took),
				asks(ours), asks(before), cost(ours), cost(before),
			})
		}
	}
	return table(rows)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// The words around the tables.
const (
	pageHead = `# What a fleet costs

<!-- Generated: make bench-fleet PAGE=docs/fleet-costs.md -->

Simulated and measured on %s with %d CPUs, seed %d. What is simulated are live engines on a
bucket in memory: trees, plans, leases, renewals each %.0f s, commits and collections are the real
ones, requests take %.0f ms, and time is that of a bubble of testing/synctest. How requests are counted
is held to what a real S3 server saw of real rclones (` + "`engine.TestFleetCounts`" + `). What is
measured are lists of heads on a real S3 server on loopback.

    make bench-fleet                             # in some minutes
    make bench-fleet PAGE=docs/fleet-costs.md    # and writes this page
    go test ./engine -run 'TestFleet$' -v        # five workspaces for ten minutes, free and throttled

A fleet has of five workspaces two that are idle, two of developers and one with four agents.

`
	monthNotes = `
Requests, and what they cost by list prices, without what is stored. Every workspace is up all the time; on %d days there are
eight hours of work, on %d none. A container that is stopped asks for nothing. The numbers for 1,000 are those of one of
each kind, times their share: a workspace asks for nothing because of another one (see "at once" for that at 5 and 50).

`
	versionsNotes = `
A version of a digest has seven bytes and a name of some two hundred; the mark that it was deleted has the name alone. They cost nothing that shows. Versions of heads
are more, and stay: after a year without a rule there are twelve times as many. Coltec uses no version of an object but the last. So let a lifecycle rule end versions that are not current
after some days, and marks that have no version left. Backblaze B2 keeps versions unless a rule says otherwise; R2 has none. A listing names the current objects alone, so ` + "`coltec ls`" + ` asks
for no more with versions than without.
`
	atOnceThousand = `
A thousand are %.0f requests a second on average: %.1f %% of the writes that S3 takes for one prefix. A thousand that are started within
one second would be %s requests in a second, and at most %s in one later: above what S3 takes for one prefix at first. What it refuses
is tried again, as below; who starts a thousand at once spreads that over ten seconds.
`
	atOnceNotes = `
Renewals, walks and looks for garbage (ten minutes after a start, then each hour) are put off by up to a tenth, so that those that
began together drift apart. When all start in one second each tries what the store makes of conditions, claims its prefix and pushes its tree first.
`
	throttledNotes = `
Fifty workspaces for ten minutes (twenty in the first row), where the store refuses all requests above so many a second (503 SlowDown),
of all prefixes together: they ask for about eight on average. Below that saves come late, and nothing is lost: once the store took
requests again, every stop found all in the bucket (` + "`engine.TestFleet`" + `). A write of a head or a claim is sent four times, a second apart, then the step is tried again after a second, two, four,
up to a minute; a lease outlives two renewals that fail. What a save waits for then is not lost: it goes with the next.
S3 takes 3,500 requests that write and 5,500 that read in each second, for each prefix that it has split off
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html); R2 takes one write a second to one key, and each
key of Coltec has one writer that waits that second (` + "`e2e.TestOneWriteASecond`" + `).
`
	listingNotes = `
` + "`coltec ls`" + ` lists once, and knows by the names of the digests how each workspace is; where there is none, as a coltecd of before left
it, it reads the head, 32 at a time. What rclone lists are names, which say nothing of that; to know it, it has to copy the heads.
` + "`coltec ls --watch`" + ` looks each five seconds, which is twelve looks a minute, and a page of ` + "`coltec ui`" + ` that somebody has before them forty: for eight hours on 22 days
0.63 $ and 2.11 $ for fifty workspaces. A page behind others asks nothing.
Medians of five.
`
)
