package metrics

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Format is a text form of metrics.
type Format int

// The formats. They differ in how counters are announced, and in the end.
const (
	Prometheus  Format = iota // text/plain; version=0.0.4: for textfile collectors, and promtool
	OpenMetrics               // application/openmetrics-text; version=1.0.0
)

// ContentType is the format's name in HTTP.
func (f Format) ContentType() string {
	if f == OpenMetrics {
		return "application/openmetrics-text; version=1.0.0; charset=utf-8"
	}
	return "text/plain; version=0.0.4; charset=utf-8"
}

// Accepted is the format for an Accept header of HTTP: OpenMetrics where that is named.
func Accepted(header string) Format {
	if strings.Contains(header, "application/openmetrics-text") {
		return OpenMetrics
	}
	return Prometheus
}

// Kind of a metric.
type Kind string

// The kinds.
const (
	Gauge   Kind = "gauge"
	Counter Kind = "counter" // its name ends in _total
)

// Family is a metric, with a sample for each set of labels.
type Family struct {
	Name    string
	Kind    Kind
	Help    string   // for people, in one line
	Labels  []string // names, in the order in which values are given
	samples []sample
}

type sample struct {
	labels []string
	value  float64
}

// add gives the metric a value for labels.
func (f *Family) add(value float64, labels ...string) {
	f.samples = append(f.samples, sample{labels, value})
}

// flag is add with 1 for true and 0 for false.
func (f *Family) flag(is bool, labels ...string) {
	value := 0.0
	if is {
		value = 1
	}
	f.add(value, labels...)
}

// at is add with a time in seconds since 1970; without one there is no sample.
func (f *Family) at(t *time.Time, labels ...string) {
	if t != nil && !t.IsZero() {
		f.add(float64(t.UnixMilli())/1000, labels...)
	}
}

// oneOf adds a sample for each state that there may be, 1 for the one that is. One that is
// not known here, as a later version may have it, is added.
func (f *Family) oneOf(is string, all []string, labels ...string) {
	if !slices.Contains(all, is) {
		all = append(slices.Clone(all), is)
	}
	for _, state := range all {
		f.flag(state == is, append(slices.Clone(labels), state)...)
	}
}

// encode is the text of families. Of two samples with the same labels the first counts: a
// text with both would be refused as a whole.
func encode(f Format, families []*Family) []byte {
	var b bytes.Buffer
	for _, x := range families {
		if len(x.samples) == 0 {
			continue
		}
		name := x.Name
		if f == OpenMetrics && x.Kind == Counter {
			name = strings.TrimSuffix(name, "_total")
		}
		b.WriteString("# HELP " + name + " " + x.Help + "\n# TYPE " + name + " " + string(x.Kind) + "\n")
		seen := map[string]bool{}
		for _, s := range x.samples {
			series := x.Name + labelsText(x.Labels, s.labels)
			if !seen[series] {
				seen[series] = true
				b.WriteString(series + " " + strconv.FormatFloat(s.value, 'g', -1, 64) + "\n")
			}
		}
	}
	if f == OpenMetrics {
		b.WriteString("# EOF\n")
	}
	return b.Bytes()
}

func labelsText(names, values []string) string {
	if len(names) == 0 {
		return ""
	}
	pairs := make([]string, len(names))
	for i, name := range names {
		pairs[i] = name + `="` + labelValue(values[i]) + `"`
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// labelMost is how many bytes of a label's value are kept: others may have written it, into
// a head or a folder's name.
const labelMost = 256

// labelValue is text as the value of a label: UTF-8 without control characters.
func labelValue(text string) string {
	if len(text) > labelMost {
		text = text[:labelMost] + "…"
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return unicode.ReplacementChar
	}, strings.ToValidUTF8(text, "�"))
	return escapes.Replace(text)
}
