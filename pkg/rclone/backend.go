package rclone

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Backend is one rclone remote, as a section of rclone.conf would say it.
type Backend struct {
	Name    string            // letters, digits, `-` and `_`
	Type    string            // s3, crypt, local, webdav, sftp, …
	Options map[string]string // as rclone names them

	// Passwords holds, in the clear, options that rclone wants obscured: those
	// of crypt (password, password2), the pass of webdav and sftp.
	Passwords map[string]string
}

// Root joins the name of a back end with a path on it: a bucket, a prefix. It
// is the only way a bucket can be told: s3 has no option for one.
func Root(backend string, elems ...string) string {
	var path []string
	for i, elem := range elems {
		// A leading slash means something at the beginning only: an absolute path
		// of a local or sftp back end.
		elem = strings.TrimRight(elem, "/")
		if i > 0 {
			elem = strings.TrimLeft(elem, "/")
		}
		if elem != "" {
			path = append(path, elem)
		}
	}
	return backend + ":" + strings.Join(path, "/")
}

// noConfig is the path that rclone itself uses for "there is no file": the
// user's own configuration is never read, and nothing is said about that.
const noConfig = "notfound"

// passed are the variables of our own environment that every rclone may see.
var passed = []string{
	"PATH", "HOME", "TMPDIR", "TZ", "LANG",
	"SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
	"http_proxy", "https_proxy", "no_proxy", "all_proxy",
}

// passedFor are those that only some back ends need.
var passedFor = map[string][]string{
	"sftp": {"SSH_AUTH_SOCK"},
	// With env_auth the keys come from where the AWS tools would find them.
	"env_auth": {
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
		"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
		"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CA_BUNDLE",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
	},
}

// backendName is what fits into a variable's name and a remote's.
var backendName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// environment returns the whole environment of an rclone that knows these back
// ends and nothing else, sorted, and the values in it that nobody may see.
func environment(backends []Backend, env Lookup) (environ []string, secrets []string, err error) {
	vars := map[string]string{
		"RCLONE_CONFIG":       noConfig,
		"RCLONE_ASK_PASSWORD": "false", // never wait at a prompt that nobody sees
		// Else the local back end takes a file named "‛" or "／" for another one.
		"RCLONE_LOCAL_ENCODING": "Raw",
	}
	for _, b := range backends {
		if !backendName.MatchString(b.Name) {
			return nil, nil, configError(fmt.Errorf("%q cannot be the name of a remote", b.Name), "use letters, digits, - and _")
		}
		options, err := b.options()
		if err != nil {
			return nil, nil, err
		}
		for option, value := range options {
			name := variable(b.Name, option)
			if _, taken := vars[name]; taken {
				return nil, nil, configError(fmt.Errorf("two remotes or options share the variable %s", name), "rename the remote %q", b.Name)
			}
			if other, is := unknown(backends, option, value); is {
				return nil, nil, configError(fmt.Errorf("the option %s of the remote %q names the remote %q, which is not here", option, b.Name, other), "")
			}
			if other, is := another(backends, b, name); is {
				return nil, nil, configError(fmt.Errorf("the option %s of the remote %q would be one of the remote %q", option, b.Name, other), "rename the remote %q", other)
			}
			vars[name] = value
		}
		secrets = append(secrets, b.secrets(options)...)
	}
	for _, name := range inherited(backends) {
		if value, set := env(name); set && value != "" {
			vars[name] = value
			if secretName.MatchString(name) {
				secrets = append(secrets, value)
			}
		}
	}
	for name, value := range vars {
		if strings.ContainsRune(value, 0) {
			return nil, nil, configError(fmt.Errorf("the value of %s holds a zero byte", name), "")
		}
		environ = append(environ, name+"="+value)
	}
	slices.Sort(environ)
	return environ, secrets, nil
}

// another is the remote whose option a variable would be, too: a's option b_c is the
// option c of a remote called a_b.
func another(backends []Backend, of Backend, variable string) (string, bool) {
	for _, b := range backends {
		if b.Name != of.Name && strings.HasPrefix(variable, "RCLONE_CONFIG_"+strings.ToUpper(b.Name)+"_") && len(b.Name) > len(of.Name) {
			return b.Name, true
		}
	}
	return "", false
}

// unknown is a remote that an option names and that none of these back ends is. rclone
// would find one all the same: a's options b_type and b_c make a remote called a_b.
func unknown(backends []Backend, option, value string) (string, bool) {
	if !wrapsAnother(optionName(option)) {
		return "", false
	}
	for _, name := range wrapped(optionName(option), value) {
		if name != "" && !slices.ContainsFunc(backends, func(b Backend) bool { return b.Name == name }) {
			return name, true
		}
	}
	return "", false
}

// variable is how rclone reads an option of a remote from the environment: a
// dash stays in the remote's name, and no shell could set it.
func variable(remote, option string) string {
	return "RCLONE_CONFIG_" + strings.ToUpper(remote+"_"+strings.ReplaceAll(option, "-", "_"))
}

// inherited names the variables that may be passed on for these back ends.
func inherited(backends []Backend) []string {
	names := slices.Clone(passed)
	for _, b := range backends {
		names = append(names, passedFor[b.Type]...)
		if b.Options["env_auth"] == "true" {
			names = append(names, passedFor["env_auth"]...)
		}
	}
	return names
}

// options returns all options, passwords obscured and defaults filled in.
func (b Backend) options() (map[string]string, error) {
	all := map[string]string{"type": b.Type}
	if b.Type == "s3" {
		if _, set := b.Options["bucket"]; set {
			return nil, configError(fmt.Errorf("the s3 remote %q has a bucket among its options", b.Name),
				"the bucket is the first element of the root")
		}
		// Else rclone asks for the bucket, or makes it, before it writes.
		all["no_check_bucket"] = "true"
	}
	for given, value := range b.Options {
		if err := b.checkName(given); err != nil {
			return nil, err
		}
		all[given] = value
	}
	for name, plain := range b.Passwords {
		obscured, err := obscure(plain)
		if err != nil {
			return nil, err
		}
		all[name] = obscured
	}
	return all, nil
}

// identity is a hash of what an rclone makes of a place, but for secrets.
func identity(bin Binary, b Backend, root string) string {
	_, path, _ := strings.Cut(root, ":") // the name is the spec's own
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n", bin.Version, b.Type, path)
	for _, name := range slices.Sorted(maps.Keys(b.Options)) {
		if !secretName.MatchString(name) {
			fmt.Fprintf(h, "%s=%q\n", name, b.Options[name])
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// secretName matches the names of options and variables that hold credentials.
var secretName = regexp.MustCompile(`(?i)(secret|pass|token|key|auth|credential|sas_url|cookie|(^|_)sse)`)

// secrets returns the values of options that must not be shown.
func (b Backend) secrets(options map[string]string) []string {
	values := slices.Collect(maps.Values(b.Passwords))
	for name, value := range options {
		// Words as short as "true" are no credentials, and hiding them would
		// make holes in every sentence.
		if secretName.MatchString(name) && len(value) > 5 {
			values = append(values, value)
		}
	}
	return values
}

// obscureKey is rclone's, and public: obscuring keeps a password from being
// read over a shoulder, nothing more. Done here it costs no process, and the
// password crosses no pipe.
var obscureKey = []byte{
	0x9c, 0x93, 0x5b, 0x48, 0x73, 0x0a, 0x55, 0x4d, 0x6b, 0xfd, 0x7c, 0x63, 0xc8, 0x86, 0xa9, 0x2b,
	0xd3, 0x90, 0x19, 0x8e, 0xb8, 0x12, 0x8a, 0xfb, 0xf4, 0xde, 0x16, 0x2b, 0x8b, 0x95, 0xf6, 0x38,
}

// obscure returns a password as rclone wants it in its configuration.
func obscure(plain string) (string, error) {
	block, err := aes.NewCipher(obscureKey)
	if err != nil {
		return "", fmt.Errorf("internal error: %w", err)
	}
	out := make([]byte, aes.BlockSize+len(plain))
	_, _ = rand.Read(out[:aes.BlockSize]) // never fails
	cipher.NewCTR(block, out[:aes.BlockSize]).XORKeyStream(out[aes.BlockSize:], []byte(plain))
	return base64.RawURLEncoding.EncodeToString(out), nil
}
