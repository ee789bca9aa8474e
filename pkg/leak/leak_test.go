package leak

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

const (
	alnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
)

// made is a secret of no one: a beginning, and n letters of an alphabet.
func made(begins, letters string, n int) string {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	for {
		b := []byte(begins)
		for range n {
			b = append(b, letters[random.IntN(len(letters))])
		}
		if various(b[len(begins):]) {
			return string(b)
		}
	}
}

// key is a private key of no one, with an end of a line as it is written somewhere.
func key(label, end string) string {
	return "-----BEGIN " + label + "-----" + end + made("", alnum+"+/", 64) + end + "-----END " + label + "-----"
}

func found(t *testing.T, r io.Reader) []Find {
	t.Helper()
	list, err := In(r)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// One of each kind, as their issuers make them.
func secrets() map[string]string {
	all := map[string]string{}
	for _, r := range []struct {
		begins, letters string
		n               int
	}{
		{"sk-ant-api03-", alnum + "_-", 95}, {"sk-ant-oat01-", alnum, 80}, {"sk-proj-", alnum + "_-", 120}, {"sk-svcacct-", alnum, 90},
		{"sk-", alnum, 48}, {"sk-or-v1-", "0123456789abcdef", 64}, {"gsk_", alnum, 52}, {"xai-", alnum, 80},
		{"ghp_", alnum, 36}, {"gho_", alnum, 36}, {"ghu_", alnum, 36}, {"ghs_", alnum, 36}, {"ghr_", alnum, 76},
		{"github_pat_", alnum, 82}, {"glpat-", alnum, 20}, {"AKIA", upper, 16}, {"ASIA", upper, 16}, {"AIza", alnum + "_-", 35},
		{"GOCSPX-", alnum, 28}, {"ya29.", alnum, 120}, {"xoxb-", "0123456789-" + alnum, 50}, {"xoxp-", alnum, 50}, {"xoxa-", alnum, 40},
		{"xoxr-", alnum, 40}, {"xoxs-", alnum, 40}, {"xapp-", alnum, 60}, {"sk_live_", alnum, 24}, {"rk_live_", alnum, 99}, {"npm_", alnum, 36},
		{"hf_", alnum, 34}, {"pypi-AgEI", alnum, 150}, {"dckr_pat_", alnum, 27}, {"tskey-auth-", alnum, 40}, {"AGE-SECRET-KEY-1", upper, 58},
	} {
		all[r.begins] = made(r.begins, r.letters, r.n)
	}
	for _, label := range []string{"PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "PGP PRIVATE KEY BLOCK"} {
		all[label] = key(label, "\n")
		all[label+" in JSON"] = key(label, `\n`)
		all[label+" of Windows"] = key(label, "\r\n")
	}
	return all
}

// Each kind is found, once, at its line, wherever programs write one. Every rule has an
// example, so that none can be broken unseen.
func TestFound(t *testing.T) {
	places := []string{"%s", "KEY=%s\n", `{"text": "it is %s, thanks"}`, `{"text": "it is:\n%s\nthanks"}`, "https://x:%s@host/", "`%s`", "'%s'", "\t%s", "<%s>"}
	kinds := map[string]bool{}
	for name, secret := range secrets() {
		for _, place := range places {
			text := "one\ntwo\n" + fmt.Sprintf(place, secret)
			got := found(t, strings.NewReader(text))
			if len(got) != 1 || got[0].Line != 3 {
				t.Errorf("%s in %q: %+v", name, place, got)
				continue
			}
			kinds[got[0].Kind] = true
			if strings.Contains(fmt.Sprint(got), secret[len(secret)/2:]) {
				t.Errorf("%s: the secret is told", name)
			}
		}
	}
	examples := secrets()
	for _, r := range rules {
		has := func(secret string) bool { return strings.HasPrefix(secret, r.begins) }
		var all []string
		for _, s := range examples {
			all = append(all, s)
		}
		if !kinds[r.kind] || !slices.ContainsFunc(all, has) {
			t.Errorf("%s, %s: no example", r.kind, r.begins)
		}
	}
}

// What looks alike, and is none, is not told.
func TestNotFound(t *testing.T) {
	for _, text := range []string{
		"", "\n", "sk-", "sk-ant-", "-----BEGIN ", "AKIA",
		"a task-" + made("", alnum, 48), "disk-" + made("", alnum, 48), "risk_live_" + made("", alnum, 30),
		made("ghp_", alnum, 35), "x" + made("ghp_", alnum, 36), "_" + made("ghp_", alnum, 36),
		"ghp_" + strings.Repeat("x", 36), "sk-ant-" + strings.Repeat("xX", 40), "AKIA" + strings.Repeat("0", 16),
		"AKIAIOSFODNN7EXAMPLE", made("AKIA", upper, 17), made("akia", upper, 16), made("AIza", alnum, 36),
		"-----BEGIN PRIVATE KEY-----", `grep -q "-----BEGIN RSA PRIVATE KEY-----" file`, key("PUBLIC KEY", "\n"), key("CERTIFICATE", "\n"),
		"-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----", "-----BEGIN CERTIFICATE-----\nx\nPRIVATE KEY-----\n" + made("", alnum, 64),
		"sk-some-model-name-of-this-year-and-more-of-it", "npm_config_user_agent_and_more_of_such_names_of_variables", "hf_hub_download",
		`\\n` + "ask-" + made("", alnum, 48), "postgres://user:correct-horse@host/db", // passwords are beyond this
	} {
		if got := found(t, strings.NewReader(text)); len(got) != 0 {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// Where blocks of reading meet, nothing is missed and nothing is found twice, and what comes
// before a word still counts; however few bytes come at once.
func TestAcrossBlocks(t *testing.T) {
	secret := made("ghp_", alnum, 36)
	for _, edge := range []int{block - reach, block, 2*block - reach, 2 * block} {
		for at := edge - 48; at <= edge+8; at++ {
			text := strings.Repeat("a b\n", at/4) + strings.Repeat(".", at%4)
			tail := strings.Repeat("\nmore", 2*reach)
			if got := found(t, strings.NewReader(text+secret+tail)); len(got) != 1 || got[0].Line != 1+at/4 {
				t.Fatalf("at %d: %+v", at, got)
			}
			if got := found(t, strings.NewReader(text+"x"+secret+tail)); len(got) != 0 {
				t.Fatalf("in a word at %d: %+v", at, got)
			}
		}
	}
	text := "a\n" + key("PRIVATE KEY", "\n") + "\n" + secret
	if got := found(t, iotest.OneByteReader(strings.NewReader(text))); len(got) != 2 || got[1].Line != 5 {
		t.Errorf("byte by byte: %+v", got)
	}
}

// A file that is full of them is told as such, and not without an end; each line once; what
// has no lines has no number of one; an error is told with what came before it.
func TestMany(t *testing.T) {
	secret := made("ghp_", alnum, 36)
	if got := found(t, strings.NewReader(strings.Repeat(secret+"\n", 3*most))); len(got) != most || got[most-1].Line != most {
		t.Errorf("%d: %+v", len(got), got)
	}
	if got := found(t, strings.NewReader(secret+" "+secret+" "+made("glpat-", alnum, 20))); len(got) != 2 {
		t.Errorf("of a line: %+v", got)
	}
	if got := found(t, strings.NewReader("SQLite\x00\n\n"+secret)); len(got) != 1 || got[0].Line != 0 {
		t.Errorf("of a database: %+v", got)
	}
	broken := errors.New("broken")
	got, err := In(io.MultiReader(strings.NewReader(secret+"\n"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || len(got) != 1 {
		t.Errorf("%+v %v", got, err)
	}
}
