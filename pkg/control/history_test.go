package control

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coltec/coltec/pkg/hint"
)

// past is a History whose answers are in recorded.
type past struct{ asked any }

// at notes a question, and says something before the answer.
func at[Q, A any](p *past, req Q, say func(string), a A) (A, error) {
	p.asked = req
	say("looking")
	return a, nil
}

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

var (
	generation = Generation{Number: 7, Epoch: 2, Nonce: "n", Time: noon, Replicas: map[string]Tree{"w": {Manifest: "m/7", Files: 3, Bytes: 9, Filters: "f", Older: 1}, "mirror": {Files: 1}}}
	older      = &Older{Count: 1, Paths: []OlderPath{{Path: "log", Why: "it changes"}}}
	conflict   = Conflict{Replica: "w", ID: "c1", Path: "a", Time: noon, Host: "b", Size: 4, Here: true}
	compared   = Conflict{Replica: "w", ID: "c1", Path: "a", Time: noon, Host: "b", Agent: "claude", Talk: "7", Diff: "-a\n", Note: "why",
		Seen: "s", Kind: "file", Now: &Holder{"link", 2}, Tables: []TableChange{{"t", "changed", 3, 4}}, Commits: &CommitChange{Ref: "r", Ahead: 1, Behind: 2}, Replaced: ".coltec/r", Undo: "so"}
	versions = Versions{Replica: "w", Path: "a", Versions: []Version{{Generation: 1, Time: noon, Kind: "file", Mode: "0644", Size: 4, SHA256: "ab"}, {Generation: 2, Time: noon, Kind: "link", Link: "b"}, {Generation: 3, Time: noon, Gone: true}}}
	verdict  = Verdict{Replica: "w", Generations: 1, Objects: 2, Bytes: 3, Orphans: 4, OrphanBytes: 5, Missing: []string{"k"}, Lost: []Lost{{Path: "a", Generations: []int64{1}, Now: true}}, Damaged: []string{"d"}, Repaired: []string{"r"}, Note: "note", Opened: 4, Broken: []Broken{{Path: "p", Generation: 5, Wrong: []string{"s"}, Sound: 3}}}
)

func (p *past) Generations(_ context.Context, req GenerationsRequest, say func(string)) ([]Generation, error) {
	return at(p, req, say, []Generation{generation})
}
func (p *past) Checkpoints(_ context.Context, req CheckpointsRequest, say func(string)) ([]Checkpoint, error) {
	return at(p, req, say, []Checkpoint{{Name: "a", Text: "b", Generation: generation}})
}
func (p *past) Versions(_ context.Context, req VersionsRequest, say func(string)) (Versions, error) {
	return at(p, req, say, versions)
}
func (p *past) Changes(_ context.Context, req ChangesRequest, say func(string)) (Changes, error) {
	return at(p, req, say, Changes{Generation: generation, Changes: map[string][]Change{"w": {{Path: "a", What: "added", Size: 4}, {Path: "b", What: "removed"}}, "x": nil}, Older: map[string]*Older{"w": older}})
}
func (p *past) Compare(_ context.Context, req CompareRequest, say func(string)) (Comparison, error) {
	return at(p, req, say, Comparison{A: generation, B: generation, Without: map[string]string{"mirror": "why"}, Replicas: map[string][]Difference{"w": {
		{Path: "a", What: "changed", Kind: "file", Before: 1, After: 2, Diff: "-a\n"}, {Path: ".git", What: "changed", Kind: "repository", Note: "n", Refs: []RefChange{{"HEAD", "a", "b"}},
			Commits: []CommitChange{{"refs/heads/main", 1, 2, []string{"abc one"}}}, Tables: []TableChange{{"t", "changed", 3, 4}}},
	}}})
}
func (p *past) Restore(_ context.Context, req RestoreRequest, say func(string)) ([]Placed, error) {
	if req.At == "" {
		return nil, hint.Wrap(errors.New("cannot restore"), "say when")
	}
	return at(p, req, say, []Placed{{Replica: "w", Generation: 7, Placed: 2, Removed: 1, Problems: []string{"p"}, Older: older}})
}
func (p *past) Garbage(_ context.Context, req GarbageRequest, say func(string)) ([]Garbage, error) {
	return at(p, req, say, []Garbage{{Replica: "w", Kept: 1, Dropped: 2, Needed: Amount{3, 4}, Condemned: Amount{5, 6}, Deletable: &noon, Garbage: Amount{7, 8}}})
}
func (p *past) Conflicts(_ context.Context, req ConflictsRequest, say func(string)) ([]Conflict, error) {
	list, err := at(p, req, say, []Conflict{conflict})
	if req.Replica == "broken" {
		err = hint.Wrap(errors.New("replica broken: cannot read the conflicts"), "look at it")
	}
	return list, err
}
func (p *past) Conflict(_ context.Context, req ConflictRequest, say func(string)) (Conflict, error) {
	return at(p, req, say, compared)
}
func (p *past) Take(_ context.Context, req ConflictRequest, say func(string)) (Conflict, error) {
	return at(p, req, say, conflict)
}
func (p *past) Drop(_ context.Context, req ConflictRequest, say func(string)) (Conflict, error) {
	return at(p, req, say, conflict)
}
func (p *past) Decide(_ context.Context, req DecideRequest, say func(string)) (Decided, error) {
	done, err := at(p, req, say, Decided{Seen: "s", Done: []Conflict{conflict}, Left: []Conflict{compared}})
	switch req.Replica {
	case "broken":
		done, err = Decided{Done: []Conflict{conflict}}, errors.New("1 of 2 were decided: cannot go on")
	case "none":
		done, err = Decided{Done: []Conflict{}}, errors.New("0 of 2 were decided: cannot go on")
	}
	return done, err
}
func (p *past) Verify(_ context.Context, req VerifyRequest, say func(string)) ([]Verdict, error) {
	return at(p, req, say, []Verdict{verdict, {Replica: "x"}})
}

// ask is a question with everything in it that it can have.
func ask[Q, A any](f func(History, context.Context, Q, func(string)) (A, error), req Q) func(context.Context, History) (any, error) {
	return func(ctx context.Context, h History) (any, error) { return f(h, ctx, req, func(string) {}) }
}

const (
	generationBytes = `{"generation":7,"epoch":2,"nonce":"n","time":"2030-01-02T12:00:00Z","replicas":{"mirror":{"manifest":"","files":1,"bytes":0,"filters":""},"w":{"manifest":"m/7","files":3,"bytes":9,"filters":"f","older":1}}}`
	conflictBytes   = `{"replica":"w","id":"c1","path":"a","time":"2030-01-02T12:00:00Z","host":"b","size":4,"here":true}`
	comparedBytes   = `{"replica":"w","id":"c1","path":"a","time":"2030-01-02T12:00:00Z","host":"b","size":0,"here":false,"agent":"claude","talk":"7","diff":"-a\n","note":"why","seen":"s","kind":"file","now":{"kind":"link","size":2},"tables":[{"table":"t","what":"changed","before":3,"after":4}],"commits":{"ref":"r","ahead":1,"behind":2},"replaced":".coltec/r","undo":"so"}`
)

// recorded is each question and its answer, as coltecd has spoken since it has a history.
var recorded = map[Ask]struct {
	question, answer string
	ask              func(context.Context, History) (any, error)
}{
	AskGenerations: {`{"ask":"generations","replica":"w"}`, `[` + generationBytes + `]`, ask(History.Generations, GenerationsRequest{Replica: "w"})},
	AskVersions: {`{"ask":"versions","replica":"w","path":"/w/a"}`,
		`{"replica":"w","path":"a","versions":[{"generation":1,"time":"2030-01-02T12:00:00Z","kind":"file","mode":"0644","size":4,"sha256":"ab"},{"generation":2,"time":"2030-01-02T12:00:00Z","kind":"link","size":0,"link":"b"},{"generation":3,"time":"2030-01-02T12:00:00Z","gone":true,"size":0}]}`,
		ask(History.Versions, VersionsRequest{Replica: "w", Path: "/w/a"})},
	AskChanges: {`{"ask":"changes","replica":"w","at":"7"}`,
		`{"generation":` + generationBytes + `,"changes":{"w":[{"path":"a","what":"added","size":4},{"path":"b","what":"removed"}],"x":null},"older":{"w":{"count":1,"paths":[{"path":"log","why":"it changes"}]}}}`,
		ask(History.Changes, ChangesRequest{Replica: "w", At: "7"})},
	AskCompare: {`{"ask":"compare","replica":"w","a":"good","b":"now","path":"/w/a","diff":true,"wholes":true}`,
		`{"a":` + generationBytes + `,"b":` + generationBytes + `,"replicas":{"w":[{"path":"a","what":"changed","kind":"file","before":1,"after":2,"diff":"-a\n"},{"path":".git","what":"changed","kind":"repository","before":0,"after":0,"note":"n","refs":[{"ref":"HEAD","before":"a","after":"b"}],"commits":[{"ref":"refs/heads/main","ahead":1,"behind":2,"subjects":["abc one"]}],"tables":[{"table":"t","what":"changed","before":3,"after":4}]}]},"without":{"mirror":"why"}}`,
		ask(History.Compare, CompareRequest{Replica: "w", A: "good", B: "now", Path: "/w/a", Diff: true, Wholes: true})},
	AskRestore: {`{"ask":"restore","replica":"w","path":"/w/a","at":"2h","to":"/tmp/x","deleted":true}`,
		`[{"replica":"w","generation":7,"placed":2,"removed":1,"problems":["p"],"older":{"count":1,"paths":[{"path":"log","why":"it changes"}]}}]`,
		ask(History.Restore, RestoreRequest{Replica: "w", Path: "/w/a", At: "2h", To: "/tmp/x", Deleted: true})},
	AskConflicts: {`{"ask":"conflicts","replica":"w"}`, `[` + conflictBytes + `]`, ask(History.Conflicts, ConflictsRequest{Replica: "w"})},
	AskConflict: {`{"ask":"conflict","replica":"w","path":"c1"}`,
		comparedBytes,
		ask(History.Conflict, ConflictRequest{Replica: "w", Path: "c1"})},
	AskDecide: {`{"ask":"decide","replica":"w","host":"b","take":true,"dry_run":true,"seen":"s"}`,
		`{"seen":"s","done":[` + conflictBytes + `],"left":[` + comparedBytes + `]}`, ask(History.Decide, DecideRequest{Replica: "w", Host: "b", Take: true, DryRun: true, Seen: "s"})},
	AskTake: {`{"ask":"take","path":"c1"}`, conflictBytes, ask(History.Take, ConflictRequest{Path: "c1"})},
	AskDrop: {`{"ask":"drop","path":"c1"}`, conflictBytes, ask(History.Drop, ConflictRequest{Path: "c1"})},
	AskGarbage: {`{"ask":"garbage","replica":"w"}`,
		`[{"replica":"w","kept":1,"dropped":2,"needed":{"objects":3,"bytes":4},"condemned":{"objects":5,"bytes":6},"deletable":"2030-01-02T12:00:00Z","garbage":{"objects":7,"bytes":8},"young":{"objects":0,"bytes":0}}]`,
		ask(History.Garbage, GarbageRequest{Replica: "w"})},
	AskVerify: {`{"ask":"verify","replica":"w","deep":true,"wholes":true,"at":"2h","repair":true}`,
		`[{"replica":"w","generations":1,"objects":2,"bytes":3,"orphans":4,"orphan_bytes":5,"missing":["k"],"lost":[{"path":"a","generations":[1],"now":true}],"damaged":["d"],"repaired":["r"],"note":"note","opened":4,"broken":[{"path":"p","generation":5,"wrong":["s"],"sound":3}]},{"replica":"x","generations":0,"objects":0,"bytes":0,"orphans":0,"orphan_bytes":0}]`,
		ask(History.Verify, VerifyRequest{Replica: "w", Deep: true, Wholes: true, At: "2h", Repair: true})},
}

// A coltecd of one version answers a client of another: what goes over the wire stays.
func TestQuestionsStay(t *testing.T) {
	p := &past{}
	c, _, _ := serve(t, &fake{History: p})
	for name, tt := range recorded {
		t.Run(string(name), func(t *testing.T) {
			resp, err := c.http.Post("http://coltecd/v1/read", "application/json", strings.NewReader(tt.question))
			must(t, err)
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			must(t, err)
			if diff := cmp.Diff(`{"say":"looking"}`+"\n"+`{"done":true,"answer":`+tt.answer+"}\n", string(got)); diff != "" {
				t.Error(diff)
			}
			served, direct := p.asked, &past{}
			want, err := tt.ask(t.Context(), direct)
			must(t, err)
			if diff := cmp.Diff(direct.asked, served, ignoreQuestion); diff != "" {
				t.Errorf("what was asked: %s", diff)
			}
			answered, err := tt.ask(t.Context(), c)
			must(t, err)
			if diff := cmp.Diff(want, answered); diff != "" {
				t.Errorf("what a client is told: %s", diff)
			}
		})
	}
}

// ignoreQuestion leaves out the word for the question, which the client puts in.
var ignoreQuestion = cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "question" }, cmp.Ignore())

// The bytes of a client are those that coltecd has always been asked with.
func TestClientAsks(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/s")
	must(t, err)
	var asked string
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = r.Method + " " + r.URL.Path + " " + string(body)
		_, _ = io.WriteString(w, `{"done":true,"answer":null}`)
	})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	c := Dial(l.Addr().String())
	for name, tt := range recorded {
		if _, err := tt.ask(t.Context(), c); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff("POST /v1/read "+tt.question, asked); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	ctx := t.Context()
	for want, call := range map[string]func() error{
		`POST /v1/sync {"names":["w"],"allow_delete":true}`: func() error { return c.Sync(ctx, SyncRequest{Names: []string{"w"}, AllowDelete: true}, nil) },
		`POST /v1/rewind {"at":"good","path":"/w/d","dry_run":true}`: func() error {
			_, err := c.Rewind(ctx, RewindRequest{At: "good", Path: "/w/d", DryRun: true}, nil)
			return err
		},
		`POST /v1/takeover {"force":true}`:                   func() error { return c.Takeover(ctx, TakeoverRequest{Force: true}, nil) },
		`POST /v1/logout {"agents":["claude"],"local":true}`: func() error { return c.Logout(ctx, LogoutRequest{Agents: []string{"claude"}, Local: true}, nil) },
		`POST /v1/adopt {"names":["w"]}`:                     func() error { return c.FinishAdoption(ctx, SyncRequest{Names: []string{"w"}}, nil) },
		`POST /v1/stop {"timeout":"1m30s"}`:                  func() error { return c.Stop(ctx, StopRequest{Timeout: Duration(90 * time.Second)}, nil) },
		`POST /v1/provide {"variables":{"A":"b"}}`:           func() error { return c.Provide(ctx, ProvideRequest{Variables: map[string]string{"A": "b"}}, nil) },
		`POST /v1/pause {"name":"web"}`:                      func() error { return c.Act(ctx, "pause", "web") },
		`POST /v1/reload `:                                   func() error { return c.Reload(ctx, nil) },
	} {
		if err := call(); err != nil || asked != want {
			t.Errorf("%v: asked %s, want %s", err, asked, want)
		}
	}
}

func TestQuestionIsRefused(t *testing.T) {
	c, _, _ := serve(t, &fake{History: &past{}})
	var none any
	if err := c.ask(t.Context(), "read", map[string]string{"ask": "nothing"}, &none, nil); err == nil || err.Error() != `cannot answer "nothing": no such question` {
		t.Errorf("got %v", err)
	}
	_, err := c.Restore(t.Context(), RestoreRequest{}, nil)
	if err == nil || err.Error() != "cannot restore" || !slices.Equal(hint.Of(err), []string{"say when"}) {
		t.Errorf("%v, %v", err, hint.Of(err))
	}
}

// A list that could be told in part comes with the error of the rest, and so does what was decided before
// a failure, which was lost with the way back; an error alone comes alone.
func TestListAsFarAsItCame(t *testing.T) {
	c, _, _ := serve(t, &fake{History: &past{}})
	list, err := c.Conflicts(t.Context(), ConflictsRequest{Replica: "broken"}, nil)
	if err == nil || len(hint.Of(err)) != 1 || !cmp.Equal(list, []Conflict{conflict}) {
		t.Errorf("%+v, %v", list, err)
	}
	placed, err := c.Restore(t.Context(), RestoreRequest{}, nil)
	if err == nil || placed != nil {
		t.Errorf("%+v, %v", placed, err)
	}
	done, err := c.Decide(t.Context(), DecideRequest{Replica: "broken"}, nil)
	if err == nil || !cmp.Equal(done, Decided{Done: []Conflict{conflict}}) {
		t.Errorf("what was decided before it failed: %+v, %v", done, err)
	}
	done, err = c.Decide(t.Context(), DecideRequest{Replica: "none"}, nil)
	if err == nil || !cmp.Equal(done, Decided{}) {
		t.Errorf("where nothing was decided: %+v, %v", done, err)
	}
}
