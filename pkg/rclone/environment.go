package rclone

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// passed are the variables of our own environment that every rclone may see.
var passed = []string{
	"PATH", "HOME", "TMPDIR", "TZ", "LANG",
	"SSL_CERT_FILE", "SSL_CERT_DIR", caVariable,
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
	"http_proxy", "https_proxy", "no_proxy", "all_proxy",
}

// caVariable names a file with the certificates that rclone trusts, in the place of the system's.
const caVariable = "RCLONE_CA_CERT"

// passedFor are those that only some back ends need.
var passedFor = map[string][]string{
	"sftp": {"SSH_AUTH_SOCK"},
	// With env_auth the keys come from where the AWS tools would find them.
	"env_auth": {
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
		"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
		"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
	},
}

// isBackendName reports whether a name fits into a variable's name and a remote's.
func isBackendName(name string) bool {
	const first = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return name != "" && strings.Contains(first, name[:1]) && strings.Trim(name, first+"_-") == ""
}

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
		if !isBackendName(b.Name) {
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
			if isSecretName(name) {
				secrets = append(secrets, value)
			}
		}
	}
	if bundle, _ := env("AWS_CA_BUNDLE"); bundle != "" && vars[caVariable] == "" && slices.ContainsFunc(backends, func(b Backend) bool { return b.Type == "s3" }) {
		vars[caVariable] = bundle // rclone brings a client of its own, to which the AWS library adds none
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

// identity is a hash of what an rclone makes of a place, but for secrets.
func identity(bin Binary, b Backend, root string) string {
	_, path, _ := strings.Cut(root, ":") // the name is the spec's own
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n", bin.Version, b.Type, path)
	for _, name := range slices.Sorted(maps.Keys(b.Options)) {
		if !isSecretName(name) {
			fmt.Fprintf(h, "%s=%q\n", name, b.Options[name])
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}
