package leak

import "bytes"

// rule is a kind of secret: what it begins with, and what has to come after that.
type rule struct {
	kind   string
	begins string
	fits   func(rest []byte) bool
}

// rules are those whose issuers say what their tokens begin with, so that a scanner may find
// them. A row that finds what is none is worse than one that is missing: nobody reads on.
var rules = []rule{
	{"a key of Anthropic", "sk-ant-", token(24, 0, isWord)},
	{"a key of OpenAI", "sk-proj-", token(24, 0, isWord)},
	{"a key of OpenAI", "sk-svcacct-", token(24, 0, isWord)},
	{"a key of OpenAI", "sk-", token(40, 0, isAlnum)},
	{"a key of OpenRouter", "sk-or-v1-", token(40, 0, isAlnum)},
	{"a key of Groq", "gsk_", token(40, 0, isAlnum)},
	{"a key of xAI", "xai-", token(60, 0, isAlnum)},
	{"a token of GitHub", "ghp_", token(36, 0, isAlnum)},
	{"a token of GitHub", "gho_", token(36, 0, isAlnum)},
	{"a token of GitHub", "ghu_", token(36, 0, isAlnum)},
	{"a token of GitHub", "ghs_", token(36, 0, isAlnum)},
	{"a token of GitHub", "ghr_", token(36, 0, isAlnum)},
	{"a token of GitHub", "github_pat_", token(40, 0, isWord)},
	{"a token of GitLab", "glpat-", token(20, 0, isWord)},
	{"a key of AWS", "AKIA", token(16, 16, isUpper)},
	{"a key of AWS", "ASIA", token(16, 16, isUpper)},
	{"a key of Google", "AIza", token(35, 35, isWord)},
	{"a secret of Google", "GOCSPX-", token(20, 0, isWord)},
	{"a token of Google", "ya29.", token(40, 0, isWord)},
	{"a token of Slack", "xoxb-", token(24, 0, isWord)},
	{"a token of Slack", "xoxp-", token(24, 0, isWord)},
	{"a token of Slack", "xoxa-", token(24, 0, isWord)},
	{"a token of Slack", "xoxr-", token(24, 0, isWord)},
	{"a token of Slack", "xoxs-", token(24, 0, isWord)},
	{"a token of Slack", "xapp-", token(24, 0, isWord)},
	{"a key of Stripe", "sk_live_", token(24, 0, isAlnum)},
	{"a key of Stripe", "rk_live_", token(24, 0, isAlnum)},
	{"a token of npm", "npm_", token(36, 36, isAlnum)},
	{"a token of Hugging Face", "hf_", token(34, 0, isAlnum)},
	{"a token of PyPI", "pypi-AgEI", token(50, 0, isWord)},
	{"a token of Docker", "dckr_pat_", token(20, 0, isWord)},
	{"a key of Tailscale", "tskey-", token(24, 0, isWord)},
	{"a key of age", "AGE-SECRET-KEY-1", token(58, 58, isUpper)},
	{"a private key", "-----BEGIN ", pem},
}

// token fits at least as many bytes of an alphabet, and at most so many; 0 is no limit. One
// letter again and again, and what calls itself an example, is none.
func token(least, most int, of func(byte) bool) func([]byte) bool {
	return func(rest []byte) bool {
		n := 0
		for n < len(rest) && n < reach/2 && of(rest[n]) {
			n++
		}
		if n < least || most > 0 && n > most {
			return false
		}
		return various(rest[:n]) && !bytes.Contains(bytes.ToUpper(rest[:n]), []byte("EXAMPLE"))
	}
}

// various reports whether there are as many different bytes as chance would have brought.
func various(b []byte) bool {
	var seen [256]bool
	n := 0
	for _, c := range b {
		if !seen[c] {
			seen[c] = true
			n++
		}
	}
	return n >= 8
}

// pem fits what follows the beginning of a private key: the rest of its line, which is an
// end of a line in JSON or in a text, and some of the key. The line by itself is in many
// programs.
func pem(rest []byte) bool {
	label, body, is := bytes.Cut(rest[:min(len(rest), reach/2)], []byte("PRIVATE KEY"))
	if !is || len(label) > 20 || bytes.ContainsAny(label, "-\n\\\"") {
		return false
	}
	body = bytes.TrimPrefix(body, []byte(" BLOCK")) // OpenPGP's
	body, is = bytes.CutPrefix(body, []byte("-----"))
	if !is {
		return false
	}
	for _, end := range []string{"\r", "\n", `\r`, `\n`} {
		body = bytes.TrimPrefix(body, []byte(end))
	}
	for _, header := range []string{"Proc-Type:", "Version:", "Comment:"} {
		if bytes.HasPrefix(body, []byte(header)) {
			return true
		}
	}
	body = bytes.TrimLeft(body, "\r\n") // OpenPGP has an empty line
	return token(24, 0, func(c byte) bool { return isAlnum(c) || c == '+' || c == '/' || c == '=' })(body)
}
