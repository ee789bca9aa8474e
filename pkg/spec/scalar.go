package spec

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as 10MB, 512KiB or a plain number.
type Size int64

// String writes the size with the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.bytes, u.name)
		}
	}
	return "0B"
}

// Words is a list of commands or names; one alone may stand without the list.
type Words []string

// sizeUnits, those that String prefers first.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"GB", 1e9}, {"GiB", 1 << 30}, {"MB", 1e6}, {"MiB", 1 << 20}, {"KB", 1e3}, {"KiB", 1 << 10}, {"B", 1},
	{"G", 1e9}, {"M", 1e6}, {"K", 1e3}, {"", 1},
}

// errSize and errDuration say what can be written; they never repeat the value.
var (
	errSize     = errors.New("must be a size such as 10MB or 512KiB")
	errDuration = errors.New("must be seconds or a duration such as 90s, 3m or 7d")
)

// parseSize reads a number and a unit; units of a thousand (KB, MB, GB) and of
// 1024 (KiB, MiB, GiB), in any case.
func parseSize(text string) (Size, error) {
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 {
		return 0, errSize
	}
	unit := strings.TrimSpace(text[len(digits):])
	for _, u := range sizeUnits {
		if strings.EqualFold(u.name, unit) {
			if n > math.MaxInt64/u.bytes {
				return 0, errSize
			}
			return Size(n * u.bytes), nil
		}
	}
	return 0, errSize
}

// durationUnits are those of time.ParseDuration that a spec may need, with days
// and weeks beside them.
var durationUnits = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

// parseDuration reads seconds as a plain number, or numbers with units: 1h30m.
func parseDuration(text string) (time.Duration, error) {
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		text += "s"
	}
	if text == "" {
		return 0, errDuration
	}
	var sum float64
	for rest := text; rest != ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		unit := len(rest[digits:]) - len(strings.TrimLeft(rest[digits:], "dhmsw"))
		n, err := strconv.ParseFloat(rest[:digits], 64)
		u, ok := durationUnits[rest[digits:digits+unit]]
		if err != nil || !ok {
			return 0, errDuration
		}
		sum += n * float64(u)
		rest = rest[digits+unit:]
	}
	if sum >= math.MaxInt64 {
		return 0, errDuration
	}
	return time.Duration(sum), nil
}

// formatDuration writes a duration as a person would: 3m, 1h30m, 7d.
func formatDuration(d time.Duration) string {
	if d != 0 && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
