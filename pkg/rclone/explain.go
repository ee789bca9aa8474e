package rclone

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// oneLine is the value of an option of S3: what stands around it, as an editor or echo
// leaves behind, is never a part of it. The key of SSE-C may be any bytes.
func (b Backend) oneLine(option, value string) (string, error) {
	name := optionName(option)
	if strings.HasPrefix(name, "sse_") {
		return value, nil
	}
	value = strings.TrimSpace(strings.TrimPrefix(value, "\ufeff"))
	switch name {
	case "endpoint":
		value = strings.TrimRight(value, "/")
		fallthrough
	case "access_key_id", "secret_access_key", "session_token":
		if n := len(value); n > 1 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			return "", configError(fmt.Errorf("the option %s of the remote %q has quotes around it", option, b.Name), "give the value without them")
		}
	}
	if strings.ContainsAny(value, "\r\n") {
		return "", configError(fmt.Errorf("the option %s of the remote %q has several lines", option, b.Name), "give one line: two values may have come together")
	}
	return value, nil
}

// endpointFault refuses an endpoint with the bucket behind it, as the pages of some stores
// show it: objects would go below a second one of that name, which no listing finds. Where
// it may be something else, it is the step for when the bucket is not found.
func endpointFault(backends []Backend, root string) (step string, err error) {
	for range backends {
		name, at, _ := strings.Cut(root, ":")
		i := slices.IndexFunc(backends, func(b Backend) bool { return b.Name == name })
		if i < 0 {
			return "", nil
		}
		if b := backends[i]; b.Type == "s3" {
			bucket, _, _ := strings.Cut(at, "/")
			return b.endpointFault(bucket)
		}
		root = backends[i].Options["remote"]
	}
	return "", nil
}

func (b Backend) endpointFault(bucket string) (step string, err error) {
	endpoint := strings.TrimSpace(b.Options["endpoint"])
	if endpoint != "" && !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint
	}
	u, err := url.Parse(endpoint)
	var not *url.Error
	switch {
	case errors.As(err, &not): // it has the value, which may be what belongs into another variable
		return "", configError(fmt.Errorf("the endpoint of the remote %q is no address: %w", b.Name, not.Err),
			"write it as https://HOST or https://HOST:PORT (%s)", given("RCLONE_S3_ENDPOINT"))
	case bucket == "":
		return "", nil // rclone has words for it
	}
	path := strings.Trim(u.Path, "/")
	host := strings.TrimPrefix(u.Host, bucket+".")
	switch {
	case path == bucket, strings.HasSuffix(path, "/"+bucket):
		return "", configError(fmt.Errorf("the endpoint of the remote %q has the bucket behind it", b.Name),
			"write it as %s://%s: the bucket is named beside it", u.Scheme, u.Host)
	case path != "":
		return fmt.Sprintf("make the bucket, or correct its name; the endpoint has a path, /%s: write it without if that is a part of the bucket", path), nil
	case host != u.Host:
		return fmt.Sprintf("make the bucket, or correct its name; the endpoint begins with the bucket's name: try %s://%s", u.Scheme, host), nil
	}
	return "", nil
}

// certificates says what is next where a connection ends for what a certificate is.
var certificates = []struct{ text, step string }{
	{"unknown authority", "if the store's certificate is from an authority of your own, name that one's with SSL_CERT_FILE or AWS_CA_BUNDLE where coltecd runs (containerEnv in devcontainer.json); a network that wants a login looks so, too"},
	{"certificate has expired or is not yet valid", "check this machine's clock; if that is right, the store's certificate is to be renewed"},
	{"certificate is valid for", "the endpoint's name is not in the store's certificate: write the name that is"},
	{"certificate is not valid for any names", "the store's certificate names no host: give it one with the endpoint's name"},
	{"doesn't contain any ip sans", "the endpoint is an address, and the store's certificate names hosts alone: write the endpoint with a name"},
	{"server gave http response to https client", "the store speaks HTTP there, not HTTPS: begin the endpoint with http://, or correct its port"},
	{"failed to read --ca-cert", "correct AWS_CA_BUNDLE or RCLONE_CA_CERT: it names a file that cannot be read"},
	{"failed to add certificates from --ca-cert", "correct AWS_CA_BUNDLE or RCLONE_CA_CERT: its file holds no certificate"},
}

// rights says what a key lacks that may not do an operation.
var rights = map[string]string{
	"put":      "to write (s3:PutObject)",
	"upload":   "to write (s3:PutObject)",
	"get":      "to read (s3:GetObject), and to list the bucket (s3:ListBucket): without that, stores refuse what is not there, too",
	"stat":     "to read (s3:GetObject), and to list the bucket (s3:ListBucket): without that, stores refuse what is not there, too",
	"download": "to read (s3:GetObject), and to list the bucket (s3:ListBucket): without that, stores refuse what is not there, too",
	"list":     "to list the bucket (s3:ListBucket)",
	"delete":   "to delete (s3:DeleteObject)",
	"move":     "to read, write and delete (s3:GetObject, s3:PutObject, s3:DeleteObject)",
	"copy":     "to read and write (s3:GetObject, s3:PutObject)",
}

// given is how a value of a workspace that coltec made is given anew.
func given(name string) string {
	return "fnox set " + name + " in a workspace that coltec made, or that variable in the environment"
}

// codeSteps say what is next by the code of S3, where it says more than its class.
var codeSteps = map[string]string{
	"InvalidAccessKeyId":    "the store has no such access key: give its own (" + given("RCLONE_S3_ACCESS_KEY_ID") + "), and check the endpoint: each store knows its own keys alone",
	"SignatureDoesNotMatch": "the secret key is not the access key's: give it whole (" + given("RCLONE_S3_SECRET_ACCESS_KEY") + ")",
	"ExpiredToken":          "check the access key: the session that it is of is over; log in again, and give the new keys",
	"InvalidToken":          "the session token is not the access key's: log in again, and give all three keys anew",
	"TokenRefreshRequired":  "check the access key: the session that it is of is over; log in again, and give the new keys",
	"NoSuchBucket":          "make the bucket, or correct its name and the endpoint (" + given("RCLONE_BUCKET") + ")",
	"InvalidBucketName":     "correct the bucket's name (" + given("RCLONE_BUCKET") + "): small letters, digits, - and .; a path below it is path_prefix",
	"PermanentRedirect":     "the bucket is at another endpoint, which the store names: correct it (" + given("RCLONE_S3_ENDPOINT") + ")",
	"AllAccessDisabled":     "the account of the key is closed: see the console of the store",
	"AccountProblem":        "the account of the key has a problem: see the console of the store",
}

// Symptom is what a person meets, for the page about it.
type Symptom struct {
	Says string // the sentence of the error
	Sign string // what in the words behind that tells it from others; "" for the class's own
	Step string
}

// Symptoms are all that have a next step, by the tables that the errors take theirs from.
func Symptoms() (list []Symptom) {
	for _, class := range slices.Sorted(maps.Keys(about)) {
		a := about[class]
		if a.hint != "" {
			list = append(list, Symptom{a.text, "", a.hint})
		}
		for _, code := range slices.Sorted(maps.Keys(codeSteps)) {
			if s3Codes[code] == class {
				list = append(list, Symptom{a.text, code, codeSteps[code]})
			}
		}
		switch class {
		case Unauthorized:
			for _, op := range slices.Sorted(maps.Keys(rights)) {
				list = append(list, Symptom{a.text, "AccessDenied to “cannot " + op + "”", rightsStep(op)})
			}
		case Unreachable:
			for _, c := range certificates {
				list = append(list, Symptom{a.text, c.text, c.step})
			}
		}
	}
	return list
}

func rightsStep(op string) string {
	return "give the key the right " + rights[op] + "; if it should have that, check the access key and the secret key"
}

// explain gives an error the step that its own words lead to.
func (r *Remote) explain(e *Error, msg string) {
	low := strings.ToLower(msg)
	for _, c := range certificates {
		if strings.Contains(low, c.text) {
			e.step = c.step
			if e.Class == Unclassified || e.Class == Config {
				e.Class = Unreachable
			}
			return
		}
	}
	if !r.opts.overS3 {
		return
	}
	if e.Op == "list" && e.Class == NotFound {
		e.Class = NoBucket // a prefix without objects is an empty listing
	}
	switch {
	case e.Class == NoBucket && r.behind != "":
		e.step = r.behind
	case e.Class == Unauthorized && (strings.Contains(msg, "api error AccessDenied") || strings.Contains(msg, "api error Forbidden")) && rights[e.Op] != "":
		e.step = rightsStep(e.Op)
	case e.Class != WrongRegion: // which has its own
		if m := apiCode().FindStringSubmatch(msg); m != nil && s3Codes[m[1]] == e.Class && e.step == "" {
			e.step = codeSteps[m[1]]
		}
	}
}
