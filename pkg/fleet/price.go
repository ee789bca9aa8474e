package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// month is what is told a price of.
const month = 30 * 24 * time.Hour

// Price is what a store takes, in dollars.
type Price struct {
	Gigabyte float64 // for 10^9 bytes that are kept for a month
	Million  float64 // for a million requests that write
}

// prices are list prices of November 2026, without free allowances: of the cheapest region, and
// of the class that new objects are in.
var prices = map[string]Price{
	"r2":  {0.015, 4.5},
	"s3":  {0.023, 5},
	"gcs": {0.02, 5},
	"b2":  {0.006, 0},
}

// ParsePrice reads the name of a store, or two numbers: what a gigabyte takes a month, and a
// million requests that write.
func ParsePrice(text string) (Price, error) {
	if p, is := prices[text]; is {
		return p, nil
	}
	gigabyte, million, two := strings.Cut(text, ",")
	g, errG := strconv.ParseFloat(gigabyte, 64)
	m, errM := strconv.ParseFloat(million, 64)
	if !two || errG != nil || errM != nil || !(g >= 0 && g < 1e6) || !(m >= 0 && m < 1e9) {
		return Price{}, fmt.Errorf("%q is no price: it is one of %s, or GIGABYTE,MILLION in dollars: 0.015,4.5", text, strings.Join(slices.Sorted(maps.Keys(prices)), ", "))
	}
	return Price{g, m}, nil
}

// PriceAt is that of a store, by what rclone calls its kind and its provider. known is false
// where nobody can tell: a disk, a store of one's own.
func PriceAt(kind, provider string) (p Price, known bool) {
	switch {
	case kind == "s3" && provider == "Cloudflare":
		return prices["r2"], true
	case kind == "s3" && provider == "AWS":
		return prices["s3"], true
	case kind == "google cloud storage", kind == "s3" && provider == "GCS":
		return prices["gcs"], true
	case kind == "b2":
		return prices["b2"], true
	}
	return Price{}, false
}

// Cost sets what each row takes a month while nothing changes: the bytes of its trees, which are
// packed in the bucket and kept in earlier versions too, and the renewals of its lease.
func Cost(rows []Row, p Price) {
	for i := range rows {
		r := &rows[i]
		cost := float64(r.bytes)/1e9*p.Gigabyte + r.requests/1e6*p.Million
		if r.State != Unreadable && (r.bytes > 0 || r.requests > 0) {
			r.CostMonth = &cost
		}
	}
}
