package agents

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/coltec/coltec/internal/modeltest"
)

// object is one of JSON.
type object = map[string]any

// loginHops is how often a machine changes with its logins.
const loginHops = 10

// logIn writes what an agent has of a person's login, in the form of its program.
func (w *world) logIn(a agent) {
	w.t.Helper()
	access, refresh, identity := w.provider.first(a.name)
	switch a.name {
	case "claude":
		w.inHome(".claude/.credentials.json", jsonOf(object{"claudeAiOauth": object{
			"accessToken": access, "refreshToken": refresh, "expiresAt": time.Now().UnixMilli(),
			"scopes": []string{"user:inference", "user:profile"}, "subscriptionType": "pro",
		}}))
	case "codex":
		w.inHome(".codex/auth.json", jsonOf(object{"OPENAI_API_KEY": nil, "last_refresh": time.Now().UTC(), "tokens": object{
			"id_token": identity, "access_token": access, "refresh_token": refresh, "account_id": "account",
		}}))
	case "opencode":
		w.inHome(".local/share/opencode/auth.json", jsonOf(object{"openai": object{
			"type": "oauth", "access": access, "refresh": refresh, "expires": time.Now().UnixMilli(), "accountId": "account",
		}}))
	}
}

// loggedIn are the agents whose refresh token is good once, of those that are run. That of Gemini CLI
// is one of Google's, which its library keeps after a refresh; Copilot CLI has tokens without one.
func loggedIn() (some []agent) {
	for _, name := range []string{"claude", "codex", "opencode"} {
		if a, ok := pick(name); ok {
			some = append(some, a)
		}
	}
	return some
}

// newLoginWorld is one whose agents have logins, and no keys, on the first machine.
func newLoginWorld(t *testing.T, how string) *world {
	t.Helper()
	w := newWorld(t)
	w.provider = newProvider(t, w.model)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	w.ageKey, w.logins = id.String(), how
	ca := filepath.Join(w.top, "ca.pem")
	if err := os.WriteFile(ca, []byte(w.provider.CA), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"b", "a"} {
		w.enter(at)
		w.spec()
	}
	w.configureLogins()
	for path := range secrets {
		if err := os.Remove(w.real(w.at, filepath.Join(w.home(), path))); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range loggedIn() {
		w.logIn(a)
	}
	return w
}

// The newest login comes along: over ten hops, with a refresh in each run, none is refused, and
// none can be read in the bucket.
func TestLoginsTravel(t *testing.T) {
	w, said := newLoginWorld(t, "travel"), talks{}
	w.start()
	w.provider.expire()
	said.goOnAtOnce(w, loggedIn(), "question 0")
	for i := range loginHops {
		w.stop()
		w.enter([]string{"b", "a"}[i%2])
		w.start()
		w.provider.expire()
		said.goOnAtOnce(w, loggedIn(), fmt.Sprintf("question %d", i+1))
		w.notRefused()
		if t.Failed() {
			t.Fatalf("hop %d of %d", i+1, loginHops)
		}
	}
	w.stop()
	w.keepsLogins()
	w.provider.mu.Lock()
	defer w.provider.mu.Unlock()
	for _, a := range loggedIn() {
		if n := w.provider.count[a.name]; n <= loginHops {
			t.Errorf("%s has refreshed its login %d times in %d hops", a.name, n-1, loginHops)
		}
	}
	t.Logf("%d hops, %v logins, %d refused", loginHops, w.provider.count, len(w.provider.refused))
}

// Two copies of a login are refused in the second place: so the one before would see it.
func TestLoginsOfTwoCopies(t *testing.T) {
	w := newLoginWorld(t, "off")
	w.start()
	w.provider.expire()
	copies := map[string]string{}
	for _, a := range loggedIn() {
		copies[a.name] = w.login(a)
		w.do(a, a.first, "the first question")
	}
	w.notRefused()
	w.stop()
	w.enter("b")
	w.configureLogins()
	w.start()
	for _, a := range loggedIn() {
		w.inHome(loginFile(a), copies[a.name])
		r := w.begin(a, a.next, "a question with a used login")
		_ = r.cmd.Wait()
		r.stop()
		if nonce := modeltest.Nonce(r.out.String()); nonce != "" {
			t.Errorf("%s was answered: %s", a.name, nonce)
		}
		if w.provider.takeRefused(a.name) == 0 {
			t.Errorf("no login of %s was refused\n%s\n%s", a.name, &r.out, &r.talk)
		}
	}
	w.stop()
	w.enter("a") // what is refused some agents remove
	w.keepsLogins()
}

// notRefused holds that no login was.
func (w *world) notRefused() {
	w.t.Helper()
	w.provider.mu.Lock()
	defer w.provider.mu.Unlock()
	if len(w.provider.refused) > 0 {
		w.t.Errorf("on %s a login was refused: %q", w.at, w.provider.refused)
	}
}

// takeRefused is how many logins of an agent were refused since it was asked last.
func (p *provider) takeRefused(agent string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.refused {
		if strings.Contains(line, fmt.Sprintf("%q", agent)) {
			n++
		}
	}
	p.refused = nil
	return n
}

// keepsLogins holds that no object has a part of a login that can be read, and that what
// travels is found in the same way.
func (w *world) keepsLogins() {
	w.t.Helper()
	if found := w.s3.Grep(w.t, secret); len(found) > 0 {
		w.t.Errorf("a login can be read in %q", found)
	}
	if len(w.s3.Grep(w.t, "nonce-0001-of-the-model")) == 0 {
		w.t.Error("what travels is not found in the bucket either")
	}
	for _, a := range loggedIn() {
		if text := w.login(a); !strings.Contains(text, secret) {
			w.t.Errorf("the login of %s on %s has no secret: %s", a.name, w.at, text)
		}
	}
}

// loginFile is where the program of an agent keeps its login.
func loginFile(a agent) string {
	return map[string]string{
		"claude": ".claude/.credentials.json", "codex": ".codex/auth.json",
		"opencode": ".local/share/opencode/auth.json",
	}[a.name]
}

// login is what the machine has of an agent's.
func (w *world) login(a agent) string {
	w.t.Helper()
	b, err := os.ReadFile(w.real(w.at, filepath.Join(w.home(), loginFile(a))))
	if err != nil {
		w.t.Error(err)
	}
	return string(b)
}

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
