package rclone

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
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
		if err := checkOption(b.Name, given); err != nil {
			return nil, err
		}
		if b.Type == "s3" {
			var err error
			if value, err = b.oneLine(given, value); err != nil {
				return nil, err
			}
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

// secretWords are in the names of options and variables that hold credentials.
var secretWords = []string{"secret", "pass", "token", "key", "auth", "credential", "sas_url", "cookie", "_sse"}

// isSecretName reports whether an option or a variable of that name holds a credential.
func isSecretName(name string) bool {
	name = "_" + strings.ToLower(name)
	return slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(name, word) })
}

// secrets returns the values of options that must not be shown.
func (b Backend) secrets(options map[string]string) []string {
	values := slices.Collect(maps.Values(b.Passwords))
	for name, value := range options {
		// Words as short as "true" are no credentials, and hiding them would
		// make holes in every sentence.
		if isSecretName(name) && len(value) > 5 {
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

// overS3 reports whether what is written to a back end goes to S3, maybe through
// others that wrap it.
func overS3(backends []Backend, name string) bool {
	for range backends { // a circle is rclone's to refuse
		at := slices.IndexFunc(backends, func(b Backend) bool { return b.Name == name })
		if at < 0 {
			return false
		}
		if backends[at].Type == "s3" {
			return true
		}
		name, _, _ = strings.Cut(backends[at].Options["remote"], ":")
	}
	return false
}
