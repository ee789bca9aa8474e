package rclone

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/coltec/coltec/pkg/hint"
)

// Class sorts errors by what can be done about them.
type Class string

// The classes.
const (
	Precondition  Class = "precondition"  // a conditional write met another object than it was told
	NotFound      Class = "not-found"     // objects that are not there: Error.Keys
	Unauthorized  Class = "unauthorized"  // wrong or missing credentials, or rights
	ClockSkew     Class = "clock-skew"    // our clock is too far from the store's
	NoBucket      Class = "no-bucket"     // no such bucket
	WrongRegion   Class = "wrong-region"  // the request was signed for another region than the bucket's
	Archived      Class = "archived"      // the object is in an archive (GLACIER), from which it must be restored first
	Unreachable   Class = "unreachable"   // no connection, or none that lasted
	Throttled     Class = "throttled"     // 429, SlowDown
	Server        Class = "server"        // 5xx
	Foreign       Class = "foreign"       // something on the way answered in the store's place
	Conflict      Class = "conflict"      // 409: another write to the key was under way
	Corrupted     Class = "corrupted"     // what arrived is not what was sent
	TooLarge      Class = "too-large"     // an object has more bytes than who asked takes
	StoreFull     Class = "store-full"    // a quota of the store
	LocalDiskFull Class = "local-full"    // the disk here
	LocalChanged  Class = "local-changed" // a local file vanished or changed under the upload
	LocalDenied   Class = "local-denied"  // a local file or directory cannot be read or written
	Canceled      Class = "canceled"      // the context ended; errors.Is finds its cause
	Unsupported   Class = "unsupported"   // the store does not know the request, a condition perhaps
	Config        Class = "config"        // the remote or the command line makes no sense
	Unclassified  Class = "unclassified"  // anything else: Error.Text has rclone's words
)

// about says, for each class, whether trying again may help by itself, whether
// a write may have happened all the same, the sentence for a person and the
// next step.
var about = map[Class]struct {
	retry   bool
	unknown bool
	text    string
	hint    string
}{
	Precondition:  {false, false, "somebody else wrote it", ""},
	NotFound:      {false, false, "not found", ""},
	Unauthorized:  {false, false, "the store refuses the credentials", "check the access key, the secret key and what they may do with this bucket"},
	ClockSkew:     {true, false, "this machine's clock is too far from the store's", "set the clock: sudo timedatectl set-ntp true (after a suspend, restart the container or its virtual machine)"},
	NoBucket:      {false, false, "the bucket does not exist", "make the bucket, or correct its name and the endpoint"},
	WrongRegion:   {false, false, "the bucket is in another region than the remote says", regionStep("")},
	Archived:      {false, false, "the object is in an archive", "restore it in the store, and end the rule of the bucket that archives what is below this prefix: coltecd reads it at any time"},
	Unreachable:   {true, true, "the store cannot be reached", "check the network and the remote's endpoint"},
	Throttled:     {true, true, "the store asks for fewer requests", ""},
	Server:        {true, true, "the store has a fault", ""},
	Foreign:       {true, true, "the answer did not come from the store, but from something on the way (a captive portal or a proxy)", "log in to the network, or use https for the remote's endpoint"},
	Conflict:      {true, true, "the store was busy with another write to it", ""},
	Corrupted:     {true, false, "what arrived differs from what was sent", ""},
	TooLarge:      {false, false, "it is too large", ""},
	StoreFull:     {false, false, "the store is full", "make room in the bucket, or raise its quota"},
	LocalDiskFull: {true, false, "the disk of this machine is full", "free up space on the disk"},
	LocalChanged:  {true, false, "a local file changed or vanished meanwhile", ""},
	LocalDenied:   {false, false, "a local file cannot be read or written", "check the owner and the rights of the local tree"},
	Canceled:      {true, true, "stopped", ""},
	Unsupported:   {false, false, "the store does not support it", "use a store that knows conditional writes (S3, R2, MinIO), or lease: {best_effort: true}"},
	Config:        {false, false, "the remote is not set up right", "check the remote's type and options"},
	Unclassified:  {true, true, "rclone failed", ""},
}

// Retry reports whether trying again later may help though nobody acts.
func (c Class) Retry() bool { return about[c].retry }

// Error is what every operation of this package fails with.
type Error struct {
	Op    string   // put, get, stat, upload, download, list, delete, move
	Key   string   // the object, the prefix or the local directory
	Exit  int      // rclone's exit code; -1: it was killed or never ran
	Class Class    // what can be done
	Text  string   // rclone's own words, without secrets; may be empty
	Keys  []string // the keys it is about, where rclone named them

	step  string // overrides the class's hint
	cause error
}

// Sentinels for errors.Is. They match every Error of their kind.
var (
	ErrPrecondition = errors.New("precondition failed")
	ErrNotFound     = errors.New("object not found")
	ErrTooLarge     = errors.New("object too large")
	// ErrUnknown matches errors after which a write may have happened all the
	// same: send the identical body again, or read.
	ErrUnknown = errors.New("unknown answer")
)

// Error returns one line that names the operation, the key and the cause.
func (e *Error) Error() string {
	b := "cannot " + e.Op
	if e.Key != "" {
		b += fmt.Sprintf(" %q", e.Key)
	}
	b += ": " + about[e.Class].text
	switch {
	case e.Class == Canceled && e.cause != nil:
		b += ": " + e.cause.Error()
	case e.Text != "":
		b += ": " + e.Text
	case e.cause != nil:
		b += ": " + e.cause.Error()
	}
	return b + e.names()
}

// namesShown bounds the keys named in one line: the rest is a number.
const namesShown = 3

// names lists the keys that the error is about, the first few by name.
func (e *Error) names() string {
	if len(e.Keys) == 0 || len(e.Keys) == 1 && e.Keys[0] == e.Key {
		return ""
	}
	var quoted []string
	for _, key := range e.Keys[:min(len(e.Keys), namesShown)] {
		quoted = append(quoted, strconv.Quote(key))
	}
	b := " (" + strings.Join(quoted, ", ")
	if more := len(e.Keys) - namesShown; more > 0 {
		b += fmt.Sprintf(" and %d more", more)
	}
	return b + ")"
}

// Is makes the sentinels match.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrPrecondition:
		return e.Class == Precondition
	case ErrNotFound:
		return e.Class == NotFound
	case ErrTooLarge:
		return e.Class == TooLarge
	case ErrUnknown:
		return about[e.Class].unknown
	}
	return false
}

// Unwrap leads to the cause and to the hint.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.cause != nil {
		errs = append(errs, e.cause)
	}
	if step := e.hint(); step != "" {
		errs = append(errs, hint.Wrap(errors.New(step), "%s", step))
	}
	return errs
}

// hint is the next step for a person, or empty.
func (e *Error) hint() string {
	if e.step != "" {
		return e.step
	}
	return about[e.Class].hint
}

// ClassOf returns the class of an error of this package, or Unclassified.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Unclassified
}

// configError is an Error about a remote that cannot be.
func configError(err error, step string, args ...any) error {
	return &Error{Op: "set up the remote", Exit: -1, Class: Config, cause: err, step: fmt.Sprintf(step, args...)}
}

// canceled is an Error about a context that ended.
func canceled(ctx context.Context, op, key string) error {
	return &Error{Op: op, Key: key, Exit: -1, Class: Canceled, cause: context.Cause(ctx)}
}

// s3Codes sorts the error codes of S3. The status alone does not do: 403 is
// three things.
var s3Codes = map[string]Class{
	"PreconditionFailed":           Precondition,
	"ConditionalRequestConflict":   Conflict,
	"OperationAborted":             Conflict,
	"NoSuchKey":                    NotFound,
	"NoSuchBucket":                 NoBucket,
	"RequestTimeTooSkewed":         ClockSkew,
	"AccessDenied":                 Unauthorized,
	"InvalidAccessKeyId":           Unauthorized,
	"SignatureDoesNotMatch":        Unauthorized,
	"ExpiredToken":                 Unauthorized,
	"InvalidToken":                 Unauthorized,
	"TokenRefreshRequired":         Unauthorized,
	"AuthorizationHeaderMalformed": Unauthorized,
	"InvalidSecurity":              Unauthorized,
	"AccountProblem":               Unauthorized,
	"AllAccessDisabled":            Unauthorized,
	"Unauthorized":                 Unauthorized,
	"InvalidObjectState":           Archived,
	"NotImplemented":               Unsupported,
	"InvalidArgument":              Config,
	"InvalidBucketName":            Config,
	"PermanentRedirect":            Config,
	"InvalidLocationConstraint":    Config,

	"InvalidRegion":                      WrongRegion,
	"InvalidRegionName":                  WrongRegion, // R2
	"IllegalLocationConstraintException": WrongRegion,

	"SlowDown":             Throttled,
	"TooManyRequests":      Throttled,
	"ServiceUnavailable":   Throttled,
	"RequestLimitExceeded": Throttled,
	"RequestTimeout":       Unreachable,
	"InternalError":        Server,
	"BadDigest":            Corrupted,
	"IncompleteBody":       Corrupted,
	"QuotaExceeded":        StoreFull,
	"XMinioStorageFull":    StoreFull,
	"EntityTooLarge":       StoreFull,
}

// statuses sorts HTTP status codes where no S3 code helps.
var statuses = map[int]Class{
	http.StatusUnauthorized:        Unauthorized,
	http.StatusForbidden:           Unauthorized,
	http.StatusNotFound:            NotFound,
	http.StatusConflict:            Conflict,
	http.StatusPreconditionFailed:  Precondition,
	http.StatusTooManyRequests:     Throttled,
	http.StatusNotImplemented:      Unsupported,
	http.StatusInsufficientStorage: StoreFull,

	http.StatusNetworkAuthenticationRequired: Foreign,
}

// phrases sorts what rclone and Go's libraries write, the first match wins.
// What is local comes first: its words are the most exact.
var phrases = []struct {
	text  string
	class Class
}{
	{"no space left on device", LocalDiskFull},
	{"disk quota exceeded", LocalDiskFull},
	{"file too big for remaining disk space", LocalDiskFull},
	{"source file is being updated", LocalChanged},
	{"corrupted on transfer", Corrupted},
	{"object in glacier", Archived},
	{"permission denied", LocalDenied},
	{"read-only file system", LocalDenied},
	{"stopped after 10 redirects", Foreign},
	{"refusing to follow https to http redirect", Foreign},
	{"object not found", NotFound},
	{"directory not found", NotFound},
	{"didn't find section in config file", Config},
	{"didn't find backend called", Config},
	{"failed to make remote", Config},
	{"overlapping remotes", Config},
	{"unknown flag", Config},
	{"unknown command", Config},
	{"no such host", Unreachable},
	{"connection refused", Unreachable},
	{"connection reset", Unreachable},
	{"broken pipe", Unreachable},
	{"network is unreachable", Unreachable},
	{"no route to host", Unreachable},
	{"i/o timeout", Unreachable},
	{"tls:", Unreachable},
	{"x509:", Unreachable},
	{"deadline exceeded", Unreachable},
	{"unexpected eof", Unreachable},
	{": eof", Unreachable},
	{"dial tcp", Unreachable},
	{"request send failed", Unreachable},
	{"use of closed network connection", Unreachable},
	{"couldn't connect", Unreachable},
	{"423 locked", Conflict}, // WebDAV: another upload makes the same directory
}

var (
	apiCode    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`api error ([A-Za-z0-9]+)`) })
	statusCode = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?:StatusCode: |HTTP error |status code )(\d{3})`) })
	// noise is what helps nobody: identifiers of a request, how often it was tried,
	// and of one that got no answer the address of the object, which the error names.
	noise = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`,? ?(?:RequestID|HostID): ?[^,]*|exceeded maximum number of attempts, \d+, |https response error StatusCode: 0, |request send failed, \w+ "[^"]*": `)
	})
)

// exits sorts rclone's exit codes where its words do not help.
var exits = map[int]Class{
	2: Config, 3: NotFound, 4: NotFound, 5: Unreachable,
}

// classify sorts a failed run by its message and, failing that, its exit code.
func classify(msg string, exit int) Class {
	if otherRegion(msg) {
		return WrongRegion
	}
	if m := apiCode().FindStringSubmatch(msg); m != nil {
		if class, known := s3Codes[m[1]]; known {
			return class
		}
	}
	if m := statusCode().FindStringSubmatch(msg); m != nil {
		code, _ := strconv.Atoi(m[1]) // three digits
		if class, known := statuses[code]; known {
			return class
		}
		if code >= 500 {
			return Server
		}
	}
	low := strings.ToLower(msg)
	for _, p := range phrases {
		if strings.Contains(low, p.text) {
			return p.class
		}
	}
	if class, known := exits[exit]; known {
		return class
	}
	return Unclassified
}

// about1 leaves the keys out of an error about one key: it names that already.
func about1(err error) error {
	if e, ok := err.(*Error); ok {
		e.Keys = nil
	}
	return err
}
