package rclone

import (
	"bufio" //nolint:gosec // ETags are MD5
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// What stands between us and the store may answer in its place: a captive portal,
// a proxy that wants a login. rclone takes any 2xx for a done write, any 404 for a
// missing object and an empty body for an empty listing. So the S3 back end is made
// to log the headers of each answer, and they are looked at here. The log has no
// request in it, and with that no credentials. See docs/decisions/012, where it is measured.

// answer is what the headers of one response say.
type answer struct {
	status int
	header http.Header
}

// sdkObject is what rclone's log calls the S3 library.
const sdkObject = "S3 SDK"

// readAnswer reads the log's text of a response.
func readAnswer(msg string) (answer, bool) {
	text, is := strings.CutPrefix(msg, "Response\n")
	if !is {
		return answer{}, false
	}
	r, err := http.ReadResponse(bufio.NewReaderSize(strings.NewReader(text), 512), nil)
	if err != nil {
		return answer{}, false
	}
	return answer{r.StatusCode, r.Header}, true
}

// plainTag is what an ETag says of content that came in one piece, an MD5, or in parts; "" for
// another one.
func plainTag(etag string) string {
	tag := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(etag, "W/"), `"`), `"`)
	sum, parts, inParts := strings.Cut(tag, "-")
	if len(sum) != 32 || strings.Trim(sum, "0123456789abcdefABCDEF") != "" || inParts && (parts == "" || strings.Trim(parts, "0123456789") != "") {
		return ""
	}
	return strings.ToLower(tag)
}

// tag is the ETag that a store named; "" for none. One that is no MD5 counts only
// beside a store's own headers: a web server gives its pages one too.
func (a answer) tag() string {
	etag := a.header.Get("ETag")
	if tag := plainTag(etag); tag != "" {
		return tag
	}
	if a.marked() {
		return strings.Trim(etag, `"`)
	}
	return ""
}

// rawTag is the ETag as a condition has it, without quotes.
func (a answer) rawTag() string {
	return strings.Trim(strings.TrimPrefix(a.header.Get("ETag"), "W/"), `"`)
}

// sealed reports whether the store says that it has encrypted the object with a key that is
// not its own: its ETag is no MD5 then.
func (a answer) sealed() bool {
	return strings.HasPrefix(a.header.Get("X-Amz-Server-Side-Encryption"), "aws:kms") ||
		a.header.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm") != ""
}

// marks are headers that stores of S3's kind put on what they answer, and nothing
// else does. CloudFront's X-Amz-Cf-Id, say, is on login pages too.
var marks = []string{
	"X-Amz-Request-Id", "X-Amz-Id-2", "X-Amz-Version-Id", "X-Amz-Bucket-Region", "X-Guploader-Uploadid",
	"X-Oss-Request-Id", "X-Cos-Request-Id", "X-Obs-Request-Id", "X-Trans-Id",
}

// marked reports whether the answer has a header that only a store gives.
func (a answer) marked() bool {
	return slices.ContainsFunc(marks, func(name string) bool { return a.header.Get(name) != "" })
}

// kind is the content's type, without its parameters.
func (a answer) kind() string {
	kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// page reports whether the answer is something to look at in a browser.
func (a answer) page() bool { return strings.Contains(a.kind(), "html") }

// bare reports whether it is a store's and has no content, whatever type that is said
// to be: Google calls its answers to writes HTML.
func (a answer) bare() bool { return a.marked() && a.header.Get("Content-Length") == "0" }

// xml reports whether it is what S3 lists objects and tells errors in.
func (a answer) xml() bool { return strings.HasSuffix(a.kind(), "xml") && !a.page() }

// foreign says, in a few words, why this answer to a request of an operation is
// none of a store's; "" when it may be one.
func (a answer) foreign(op string) string {
	switch {
	case a.status == http.StatusNetworkAuthenticationRequired:
		return a.name()
	case a.status < 300:
		return a.foreignDone(op)
	case a.marked(), a.xml():
		return ""
	case a.status < 400:
		return a.name() + a.leads()
	case a.status == http.StatusTooManyRequests, a.status >= 500:
		return "" // a balancer before the store says so in HTML too
	case a.page(), a.kind() == "application/json":
		return a.name() + " with " + a.looks()
	case a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed:
		// rclone takes both for a missing object. A HEAD has no body, hence no type.
		if slices.Contains(heads, op) {
			return ""
		}
		return a.name() + " with " + a.looks() + ", not the words of S3"
	}
	return ""
}

// heads are the operations that look with a HEAD whether an object is there.
var heads = []string{"stat", "move", "copy", "delete"}

// foreignDone is foreign for what says that all is well.
func (a answer) foreignDone(op string) string {
	named, good := a.tag() != "" || a.marked(), false
	switch op {
	case "get": // content of our own, which is never a page
		good = named && !a.page()
	case "put":
		good = named && (!a.page() || a.bare())
	case "upload": // XML begins and ends one in parts; of a 204 see uploaded
		good = (named || a.xml()) && (!a.page() || a.bare()) || a.status == http.StatusNoContent
	case "list": // with a HEAD for what came in parts, and may be a page; under SSE-KMS for each
		good = a.xml() || strings.Contains(a.tag(), "-") || a.marked() && !a.page()
	case "delete", "move":
		good = named || a.xml() || a.status == http.StatusNoContent
	default:
		good = named || a.xml()
	}
	if good {
		return ""
	}
	return a.name() + " with " + a.looks() + ", without the headers of a store"
}

// name is the status in words.
func (a answer) name() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)))
}

// looks says what came.
func (a answer) looks() string {
	switch kind := a.kind(); {
	case a.page():
		return "a page of HTML"
	case kind == "":
		return "no content"
	default:
		return "content of type " + kind
	}
}

// leads says where a redirect leads to: the host alone, as the rest may hold a
// secret of the portal's.
func (a answer) leads() string {
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil || to.Host == "" {
		return ""
	}
	return ": a redirect to " + to.Host
}

// answers is what a run's answers came to. The zero value looks at none.
type answers struct {
	op      string
	tags    []string  // the ETags of what the store said is done
	raw     string    // the last of them as it was written
	sealed  bool      // one came with the words of SSE-KMS or SSE-C: no ETag is an MD5
	foreign string    // what was wrong with the first that was no store's
	region  string    // of the bucket, where a store said that a request was for another
	copies  int       // of a move, those whose original is not deleted yet
	begun   bool      // of an upload: a store has answered
	silent  bool      // and there was a 204, which says nothing of what it holds
	date    time.Time // when a store answered last, by its clock, in whole seconds; zero: none said it
}

// take looks at a line of the S3 library's.
func (s *answers) take(msg string) {
	a, is := readAnswer(msg)
	if !is || s.op == "" {
		return
	}
	s.sealed = s.sealed || a.sealed()
	if region := a.region(); region != "" {
		s.region = region
	}
	why := a.foreign(s.op)
	switch {
	case why != "":
	case s.op == "move":
		why = s.moved(a)
	case s.op == "upload":
		why = s.uploaded(a)
	}
	if why != "" {
		if s.foreign == "" {
			s.foreign = why
		}
		return
	}
	if date, err := http.ParseTime(a.header.Get("Date")); err == nil {
		s.date = date
	}
	if tag := a.tag(); tag != "" && a.status < 300 {
		s.tags, s.raw = append(s.tags, tag), a.rawTag()
	}
}

// moved counts copies and the DELETEs that follow them: a 204 may be anybody's.
func (s *answers) moved(a answer) string {
	switch {
	case a.status < 300 && a.xml():
		s.copies++
	case a.status == http.StatusNoContent && s.copies == 0:
		return a.name() + " where nothing was deleted"
	case a.status == http.StatusNoContent:
		s.copies--
	}
	return ""
}

// uploaded lets the 204s of an upload pass that come after something: rclone aborts one in
// parts that failed, and deletes an object that is bad. Whose they are is not told, so
// none says that all is well, and what failed is the news.
func (s *answers) uploaded(a answer) string {
	switch {
	case a.status == http.StatusNoContent && !s.begun && !a.marked():
		return a.name() + " where nothing was begun"
	case a.status == http.StatusNoContent:
		s.silent = true
	case a.status < 300:
		s.begun = true
	}
	return ""
}
