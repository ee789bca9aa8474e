package fnox

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/secret"
	"github.com/coltec/coltec/pkg/wholefile"
)

// Source is the fnox.toml that counts in a folder. It is a [secret.Source].
type Source struct {
	Folder     string   // of the workspace
	Environ    []string // FNOX_… and PATH are read from here
	AgeKeyFile string   // of --age-key-file; empty: as fnox finds it
	Profile    string   // of --profile; empty: FNOX_PROFILE
}

// String describes it.
func (s Source) String() string { return "fnox.toml (from " + s.Folder + " upwards)" }

func (s Source) env(name string) string {
	value := ""
	for _, kv := range s.Environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value
}

func (s Source) profile() string {
	for _, p := range []string{s.Profile, s.env("FNOX_PROFILE")} {
		if p != "" && p != "default" {
			return p
		} else if p != "" {
			return ""
		}
	}
	return ""
}

// between are the characters that may be between several profiles.
const between = ", /"

// stacked reports whether there are several profiles, one over the other: only fnox itself
// understands that.
func (s Source) stacked() bool { return strings.ContainsAny(s.profile(), between) }

// configDir is where the user's own fnox files are.
func (s Source) configDir() string {
	if dir := s.env("FNOX_CONFIG_DIR"); dir != "" {
		return dir
	}
	if home := s.env("HOME"); home != "" {
		return filepath.Join(home, ".config/fnox")
	}
	return ""
}

// Get gives those of the names that the files have.
func (s Source) Get(ctx context.Context, names []string) (secret.Values, error) {
	if s.stacked() {
		return s.run(ctx, names, fmt.Sprintf("the profiles %q", s.profile()))
	}
	c, err := s.load()
	if err != nil {
		return nil, err
	}
	if len(c.files) == 0 {
		return nil, nil
	}
	for _, name := range names {
		if e, ok := c.secrets[name]; ok && e.AsFile {
			return nil, asFile(name, e.file)
		}
	}
	if why := c.needsProgram(names); why != "" {
		return s.run(ctx, names, why)
	}
	return s.open(c, names)
}

// load reads and merges the files that count.
func (s Source) load() (*config, error) {
	global := ""
	if dir := s.configDir(); dir != "" {
		global = filepath.Join(dir, "config.toml")
	}
	return load(s.Folder, s.profile(), global)
}

// needsProgram says what of the names only fnox itself can give.
func (c *config) needsProgram(names []string) string {
	if c.only != "" {
		return c.only
	}
	for _, name := range names {
		e, ok := c.secrets[name]
		if !ok {
			continue
		}
		if e.other != "" {
			return fmt.Sprintf("the secret %q has the key %q", name, e.other)
		}
		if e.Value == "" {
			continue
		}
		_, p, err := c.providerOf(e)
		if err != nil {
			return fmt.Sprintf("the secret %q: %v", name, err)
		}
		if p.Type != "age" && p.Type != "plain" {
			return fmt.Sprintf("the secret %q is kept by a provider of type %q", name, p.Type)
		}
	}
	return ""
}

// providerOf gives the provider of a secret: its own, the default one, or the
// only one.
func (c *config) providerOf(e entry) (string, provider, error) {
	name := e.Provider
	if name == "" {
		name = c.defaultProvider
	}
	if name == "" && len(c.providers) == 1 {
		for only := range c.providers {
			name = only
		}
	}
	if name == "" && len(c.providers) == 0 {
		return "", provider{Type: "plain"}, nil
	}
	p, ok := c.providers[name]
	if !ok {
		return name, p, fmt.Errorf("no provider %q in %s", name, strings.Join(c.files, ", "))
	}
	return name, p, nil
}

// open gives the names from the merged files.
func (s Source) open(c *config, names []string) (secret.Values, error) {
	values := secret.Values{}
	var ids []age.Identity
	for _, name := range names {
		e, ok := c.secrets[name]
		if !ok {
			continue
		}
		text := e.Default
		if e.Value != "" {
			by, p, err := c.providerOf(e)
			if err != nil {
				return nil, err
			}
			text = e.Value
			if p.Type == "age" {
				if ids == nil {
					if ids, err = s.identities(c); err != nil {
						return nil, fmt.Errorf("cannot open %q of %s (provider %q): %w", name, e.file, by, err)
					}
				}
				if text, err = decrypt(e.Value, ids); err != nil {
					return nil, hint.Wrap(fmt.Errorf("cannot open %q of %s (provider %q): %w", name, e.file, by, err),
						"the key must be one of the provider's recipients: name it with --age-key-file or FNOX_AGE_KEY_FILE")
				}
			}
		}
		if text != "" {
			values[name] = secret.New(text)
		}
	}
	return values, nil
}

func asFile(name, where string) error {
	return hint.Wrap(fmt.Errorf("the secret %q of %s is as_file: its value would be the path of a file on this host, which the container does not see", name, where),
		"take as_file out, and let the container write the file")
}

// decrypt opens a value: base64 of an age file, or an armored one.
func decrypt(value string, ids []age.Identity) (string, error) {
	var in io.Reader
	if strings.HasPrefix(strings.TrimSpace(value), armor.Header) {
		in = armor.NewReader(strings.NewReader(strings.TrimSpace(value)))
	} else {
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(value), ""))
		if err != nil {
			return "", errors.New("its value is not base64 of an age file")
		}
		in = bytes.NewReader(b)
	}
	out, err := age.Decrypt(in, ids...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return "", errors.New("the age key does not open it")
	}
	if err != nil {
		return "", fmt.Errorf("not an age file: %w", err)
	}
	b, err := io.ReadAll(out)
	if err != nil {
		return "", fmt.Errorf("the age file is damaged: %w", err)
	}
	return string(b), nil
}

// readKey reads an age key. A shell's <(…) is a pipe, which the user alone can name.
func readKey(path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && info.Mode()&fs.ModeNamedPipe != 0 && strings.HasPrefix(path, "/dev/fd/") {
		return os.ReadFile(path)
	}
	return wholefile.Read(path, wholefile.ByHand)
}

// identities finds the age key as fnox does: --age-key-file, FNOX_AGE_KEY,
// FNOX_AGE_KEY_FILE, the configuration's age_key_file, then age.txt beside the
// user's configuration.
func (s Source) identities(c *config) ([]age.Identity, error) {
	if s.AgeKeyFile == "" {
		if text := s.env("FNOX_AGE_KEY"); text != "" {
			ids, err := parseIdentities([]byte(text))
			return ids, inKey(err, "FNOX_AGE_KEY")
		}
	}
	var looked []string
	for i, path := range []string{s.AgeKeyFile, s.env("FNOX_AGE_KEY_FILE"), c.ageKeyFile, filepath.Join(s.configDir(), "age.txt")} {
		if path == "" || i == 3 && s.configDir() == "" {
			continue
		}
		if rest, ok := strings.CutPrefix(path, "~/"); ok {
			path = filepath.Join(s.env("HOME"), rest)
		}
		b, err := readKey(path)
		if errors.Is(err, fs.ErrNotExist) && i == 3 {
			looked = append(looked, path)
			break
		}
		if err != nil { // named, and not there
			return nil, fmt.Errorf("cannot read the age key: %w", err)
		}
		ids, err := parseIdentities(b)
		return ids, inKey(err, path)
	}
	return nil, hint.Wrap(fmt.Errorf("no age key: FNOX_AGE_KEY and FNOX_AGE_KEY_FILE are not set, and there is no %s", strings.Join(looked, ", ")),
		"name the key with --age-key-file FILE or FNOX_AGE_KEY_FILE")
}

func inKey(err error, where string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot use the age key in %s: %w", where, err)
}

// parseIdentities reads lines AGE-SECRET-KEY-1…, or one SSH private key.
func parseIdentities(b []byte) ([]age.Identity, error) {
	if bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.HasPrefix(b, []byte("\xfe\xff")) {
		return nil, errors.New("it is text in UTF-16: save it as UTF-8") // > in PowerShell writes it
	}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	if bytes.Contains(b, []byte("-----BEGIN")) {
		id, err := agessh.ParseIdentity(b)
		if err != nil {
			return nil, errors.New("not an SSH key without a passphrase (ssh-ed25519 and ssh-rsa are read)")
		}
		return []age.Identity{id}, nil
	}
	ids, err := age.ParseIdentities(bytes.NewReader(b))
	if err != nil {
		return nil, errors.New("not lines AGE-SECRET-KEY-1…") // age's own words may quote it
	}
	return ids, nil
}

const (
	// runLimit bounds fnox, which may ask a person for a touch or a password.
	runLimit = 2 * time.Minute
	// runWait is how long a child of fnox may hold its output after its end.
	runWait = 2 * time.Second
)

// run asks the fnox program. why is what only it can do.
func (s Source) run(ctx context.Context, names []string, why string) (secret.Values, error) {
	bin, err := lookPath("fnox", s.env("PATH"))
	if err != nil {
		return nil, hint.Wrap(fmt.Errorf("%s, which needs the program fnox, and it is not on PATH", why),
			"install it (cargo install fnox, or mise use -g fnox), or give the secrets by --secrets-file or the environment")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, runLimit, fmt.Errorf("no answer within %s", runLimit))
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, s.argv()...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = s.Folder, s.Environ, runWait
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("fnox export: %w: %s", err, lastLine(stderr.String()))
	}
	all, err := secret.ParseJSON(stdout.Bytes())
	if err != nil {
		return nil, fmt.Errorf("cannot read what fnox export printed: %w", err)
	}
	for name := range all {
		if !slices.Contains(names, name) {
			delete(all, name)
		}
	}
	return all, nil
}

// argv is fnox's command line. By itself fnox leaves out what it cannot open,
// with exit 0, and what is not for the environment.
func (s Source) argv() []string {
	var args []string
	if s.profile() != "" {
		args = append(args, "--profile", s.profile())
	}
	if s.AgeKeyFile != "" {
		args = append(args, "--age-key-file", s.AgeKeyFile)
	}
	return append(args, "export", "-f", "json", "--all", "--if-missing", "error")
}

func lookPath(name, list string) (string, error) {
	for _, dir := range filepath.SplitList(list) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && filepath.IsAbs(path) {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
