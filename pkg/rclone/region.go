package rclone

import (
	"net/http"
	"regexp"
	"strings"
	"sync"
)

// What stores say of a request that was signed for another region than theirs. The code
// is one that also speaks of keys; AWS has no host for the region "auto".
var (
	regionWords = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`api error (?:AuthorizationHeaderMalformed|SignatureDoesNotMatch): [^\n]*(?i:\bregion\b|unexpected scope)`)
	})
	noRegion = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`lookup (?:[^ ]+\.)?s3[.-]auto\.[^ ]+(?: on [^ ]+)?: no such host`)
	})
	expectedRegion = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`expecting '([a-z0-9-]{1,64})'`) })
)

// otherRegion reports whether a message speaks of a region that is not the bucket's.
func otherRegion(msg string) bool {
	return regionWords().MatchString(msg) || noRegion().MatchString(msg)
}

func isRegionName(text string) bool {
	return text != "" && len(text) <= 64 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// region is the one that a store names to a request for another; "" for none. Stores name
// it beside every error, so only those count that may be about it.
func (a answer) region() string {
	switch a.status {
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusBadRequest:
		if name := a.header.Get("X-Amz-Bucket-Region"); isRegionName(name) {
			return name
		}
	}
	return ""
}

// placed makes the error of a request to another region one, and names the bucket's where
// the store did.
func (e *Error) placed(msg, told string) {
	if told != "" && (e.Class == Config || e.Class == Unclassified) {
		e.Class = WrongRegion
	}
	if e.Class != WrongRegion {
		return
	}
	if m := expectedRegion().FindStringSubmatch(msg); m != nil {
		told = m[1]
	}
	e.step = regionStep(told)
}

// regionStep is the next step of one whose remote has another region than the bucket.
func regionStep(region string) string {
	if region == "" {
		return "set the remote's option region to the region of the bucket (in a workspace that coltec made: coltec update DIR --data region=NAME)"
	}
	return "set the remote's option region to " + region + " (in a workspace that coltec made: coltec update DIR --data region=" + region + ")"
}
