package control

import (
	"context"
	"time"
)

// History answers what is asked of the bucket and its past. A coltecd does, for a
// [Client]; where none runs, the program itself can. say carries progress.
type History interface {
	// Generations lists the kept generations, oldest first.
	Generations(ctx context.Context, req GenerationsRequest, say func(string)) ([]Generation, error)
	// Checkpoints lists the generations that have a name, in the order in which they got it.
	Checkpoints(ctx context.Context, req CheckpointsRequest, say func(string)) ([]Checkpoint, error)
	// Versions returns how a path was in the kept generations.
	Versions(ctx context.Context, req VersionsRequest, say func(string)) (Versions, error)
	// Changes returns what a generation changed.
	Changes(ctx context.Context, req ChangesRequest, say func(string)) (Changes, error)
	// Compare returns how two states of the workspace differ.
	Compare(ctx context.Context, req CompareRequest, say func(string)) (Comparison, error)
	// Restore brings a path, or the whole workspace, back as it was, and tells of each
	// replica what it did.
	Restore(ctx context.Context, req RestoreRequest, say func(string)) ([]Placed, error)
	// Conflicts lists the local versions that lost their name to a remote one.
	Conflicts(ctx context.Context, req ConflictsRequest, say func(string)) ([]Conflict, error)
	// Conflict compares one of them with what has the name now.
	Conflict(ctx context.Context, req ConflictRequest, say func(string)) (Conflict, error)
	// Take gives one of them its name back.
	Take(ctx context.Context, req ConflictRequest, say func(string)) (Conflict, error)
	// Drop removes one of them.
	Drop(ctx context.Context, req ConflictRequest, say func(string)) (Conflict, error)
	// Decide takes or drops all of them.
	Decide(ctx context.Context, req DecideRequest, say func(string)) (Decided, error)
	// Verify looks whether everything is there that the kept generations refer to.
	Verify(ctx context.Context, req VerifyRequest, say func(string)) ([]Verdict, error)
	// Garbage tells what a collection would find now, and changes nothing.
	Garbage(ctx context.Context, req GarbageRequest, say func(string)) ([]Garbage, error)
}

// Ask names a question of the [History].
type Ask string

// The questions.
const (
	AskGenerations Ask = "generations"
	AskCheckpoints Ask = "checkpoints"
	AskVersions    Ask = "versions"
	AskChanges     Ask = "changes"
	AskCompare     Ask = "compare"
	AskRestore     Ask = "restore"
	AskConflicts   Ask = "conflicts"
	AskConflict    Ask = "conflict"
	AskTake        Ask = "take"
	AskDrop        Ask = "drop"
	AskDecide      Ask = "decide"
	AskVerify      Ask = "verify"
	AskGarbage     Ask = "garbage"
)

// question is what all questions have: they go the same way. The [Client] sets it.
type question struct {
	Ask Ask `json:"ask"` // what is asked
}

// GenerationsRequest asks for the kept generations.
type GenerationsRequest struct {
	question
	Replica string `json:"replica,omitempty"` // that must exist; the generations are those of all
}

// CheckpointsRequest asks for the generations that have a name.
type CheckpointsRequest struct {
	question
	Replica string `json:"replica,omitempty"` // that must exist; checkpoints are of all
}

// VersionsRequest asks how a path was.
type VersionsRequest struct {
	question
	Replica string `json:"replica,omitempty"` // "": the one that the path lies in
	Path    string `json:"path,omitempty"`    // absolute
}

// ChangesRequest asks what a generation changed.
type ChangesRequest struct {
	question
	Replica string `json:"replica,omitempty"` // "": all
	At      string `json:"at,omitempty"`      // number of a generation, or a moment; "": the newest one
}

// CompareRequest asks how two states differ.
type CompareRequest struct {
	question
	Replica string `json:"replica,omitempty"` // "": all, or the one that the path lies in
	A       string `json:"a,omitempty"`       // name of a checkpoint, number of a generation, a moment, or now
	B       string `json:"b,omitempty"`       // the same; "": now
	Path    string `json:"path,omitempty"`    // absolute; what is at it and below; "": all
	Diff    bool   `json:"diff,omitempty"`    // with the differences of texts
	Wholes  bool   `json:"wholes,omitempty"`  // with the commits of repositories and the rows of databases
}

// RestoreRequest asks for an earlier state.
type RestoreRequest struct {
	question
	Replica string `json:"replica,omitempty"` // "": all, or the one that the path lies in
	Path    string `json:"path,omitempty"`    // absolute; "": everything
	At      string `json:"at,omitempty"`      // number of a generation, or a moment
	To      string `json:"to,omitempty"`      // absolute; a directory to restore to, instead of the tree
	Deleted bool   `json:"deleted,omitempty"` // only what is not there any more
}

// ConflictsRequest asks for the versions that are kept aside.
type ConflictsRequest struct {
	question
	Replica string `json:"replica,omitempty"` // "": all
}

// ConflictRequest is about one version that is kept aside.
type ConflictRequest struct {
	question
	Replica string `json:"replica,omitempty"` // "": the one that has it
	Path    string `json:"path,omitempty"`    // of the file, absolute; or the version's id
	Seen    string `json:"seen,omitempty"`    // of an answer about it: where one of both versions is another by now, nothing is done
}

// DecideRequest is about all versions that are kept aside.
type DecideRequest struct {
	question
	Replica string `json:"replica,omitempty"` // "": all
	Host    string `json:"host,omitempty"`    // only those of this host
	Take    bool   `json:"take,omitempty"`    // they get their names back; else they are dropped
	DryRun  bool   `json:"dry_run,omitempty"` // say what would be done, and do nothing
	Seen    string `json:"seen,omitempty"`    // of a dry run: where anything is another by now, nothing is done
}

// Decided is what was taken or dropped, or would be.
type Decided struct {
	Seen string     `json:"seen,omitempty"` // of a dry run: stands for all versions, as they are
	Done []Conflict `json:"done"`
	Left []Conflict `json:"left,omitempty"` // and in note why
}

// VerifyRequest asks for a look at what the kept generations refer to.
type VerifyRequest struct {
	question
	Replica string `json:"replica,omitempty"` // "": all
	Deep    bool   `json:"deep,omitempty"`    // fetch everything and compare hashes
	Wholes  bool   `json:"wholes,omitempty"`  // open each repository and each database of a generation, and check it
	At      string `json:"at,omitempty"`      // number of that generation, or a moment; "": the newest one
	Repair  bool   `json:"repair,omitempty"`  // bring back what is damaged on one side from the other
}

// GarbageRequest asks what a collection would find.
type GarbageRequest struct {
	question
	Replica string `json:"replica,omitempty"` // "": all
}

// Garbage is what a collection would find of one replica.
type Garbage struct {
	Replica   string     `json:"replica"`
	Kept      int        `json:"kept"`                // generations
	Dropped   int        `json:"dropped"`             // generations that a collection drops
	Needed    Amount     `json:"needed"`              // by what is kept
	Condemned Amount     `json:"condemned"`           // named to be deleted
	Deletable *time.Time `json:"deletable,omitempty"` // from when on what is condemned is deleted
	Garbage   Amount     `json:"garbage"`             // not needed, and not condemned yet
	Young     Amount     `json:"young"`               // not needed, and too young to be condemned
	Failed    string     `json:"failed,omitempty"`    // why nothing is known of it; a collection drops no generation then
}

// Amount is of objects in a bucket.
type Amount struct {
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// Generation is one committed state of all replicas.
type Generation struct {
	Number   int64           `json:"generation"`
	Epoch    int64           `json:"epoch"` // of the lease that it was made under
	Nonce    string          `json:"nonce"` // of the write that committed it
	Time     time.Time       `json:"time"`
	Replicas map[string]Tree `json:"replicas"`
}

// Checkpoint is a generation that has a name, and is kept until it is taken away.
type Checkpoint struct {
	Name string    `json:"name"`
	Text string    `json:"text,omitempty"` // what a person said of it
	Host string    `json:"host,omitempty"` // on which it was made
	Made time.Time `json:"made"`
	Generation
}

// Tree is what a generation has of a replica.
type Tree struct {
	Manifest string `json:"manifest"` // key under the replica's prefix; "" in a mirror
	Files    int64  `json:"files"`
	Bytes    int64  `json:"bytes"`
	Filters  string `json:"filters"`         // hash of the rules that the tree was seen through
	Older    int    `json:"older,omitempty"` // paths whose state was not the newest one
}

// Older is what a generation has in a state that was not the newest one when it was made.
type Older struct {
	Count int         `json:"count"`
	Paths []OlderPath `json:"paths"` // the first ones
}

// OlderPath is one of them: a file, a directory with all below it, or a repository.
type OlderPath struct {
	Path string `json:"path"` // escaped as in manifests
	Why  string `json:"why"`
}

// Versions is how a path was in the kept generations, oldest first, each state once.
type Versions struct {
	Replica  string    `json:"replica"`
	Path     string    `json:"path"` // within the replica
	Versions []Version `json:"versions"`
}

// Version is one version of a path.
type Version struct {
	Generation int64     `json:"generation"` // the first kept one that has it
	Time       time.Time `json:"time"`
	Gone       bool      `json:"gone,omitempty"`
	Kind       string    `json:"kind,omitempty"` // file, directory, link, database
	Mode       string    `json:"mode,omitempty"`
	Size       int64     `json:"size"`
	SHA256     string    `json:"sha256,omitempty"` // of a database: of the hashes of what its state lies in
	Link       string    `json:"link,omitempty"`   // its target
}

// Changes is what a generation changed.
type Changes struct {
	Generation Generation          `json:"generation"`
	Changes    map[string][]Change `json:"changes"` // by replica
	Older      map[string]*Older   `json:"older,omitempty"`
}

// Change is how one path differs between two trees.
type Change struct {
	Path string `json:"path"`
	What string `json:"what"` // added, changed, mode, removed
	Size int64  `json:"size,omitempty"`
}

// Comparison is how one state of the workspace differs from another.
type Comparison struct {
	A        Generation              `json:"a"`
	B        Generation              `json:"b"`
	Replicas map[string][]Difference `json:"replicas"`
	Without  map[string]string       `json:"without,omitempty"` // replicas that cannot be compared, and why
}

// Difference is how one path, repository or database differs.
type Difference struct {
	Path    string         `json:"path"`   // within the replica
	What    string         `json:"what"`   // added, changed, mode or time, removed
	Kind    string         `json:"kind"`   // file, directory, link, database, repository
	Before  int64          `json:"before"` // bytes; of a repository or a database those of its copy
	After   int64          `json:"after"`
	Diff    string         `json:"diff,omitempty"`    // unified
	Note    string         `json:"note,omitempty"`    // why there is no diff, or not all of what was asked for
	Refs    []RefChange    `json:"refs,omitempty"`    // of a repository
	Commits []CommitChange `json:"commits,omitempty"` // of a repository that was opened
	Tables  []TableChange  `json:"tables,omitempty"`  // of a database that was opened
}

// CommitChange is what a ref of a repository reaches more, and less, than it did.
type CommitChange struct {
	Ref      string   `json:"ref"`
	Ahead    int      `json:"ahead"`              // commits; 10000: so many, or more
	Behind   int      `json:"behind"`             // the same
	Subjects []string `json:"subjects,omitempty"` // of those that it reaches more, the newest first; 10 at most
}

// TableChange is a table of a database that has another number of rows, or came, or went.
type TableChange struct {
	Table  string `json:"table"`
	What   string `json:"what"`   // added, changed, removed
	Before int64  `json:"before"` // rows
	After  int64  `json:"after"`
}

// RefChange is a ref of a repository that differs, or HEAD.
type RefChange struct {
	Ref    string `json:"ref"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Placed is what a restore did in one replica.
type Placed struct {
	Replica    string   `json:"replica"`
	Dir        string   `json:"dir,omitempty"` // of an export of all replicas: where this one is
	Generation int64    `json:"generation"`
	Placed     int      `json:"placed"`
	Removed    int      `json:"removed"` // that were not there then
	Problems   []string `json:"problems,omitempty"`
	Older      *Older   `json:"older,omitempty"` // that the generation did not have in their newest state
}

// Conflict is a local version that lost its name to a remote one.
type Conflict struct {
	Replica string    `json:"replica"`
	ID      string    `json:"id"`
	Path    string    `json:"path"` // that it had, within the replica
	Time    time.Time `json:"time"`
	Host    string    `json:"host"`
	Size    int64     `json:"size"`
	Here    bool      `json:"here"`            // on this machine; else in the bucket alone
	Agent   string    `json:"agent,omitempty"` // whose file it is, of those that the spec lists
	Talk    string    `json:"talk,omitempty"`  // what the agent calls the conversation that the file is
	Diff    string    `json:"diff,omitempty"`
	Note    string    `json:"note,omitempty"` // why there is no diff

	Seen     string        `json:"seen,omitempty"`     // stands for both versions, as they are
	Kind     string        `json:"kind,omitempty"`     // file, link, database, ref; of an answer about one
	Now      *Holder       `json:"now,omitempty"`      // what has the name now; of an answer about one
	Tables   []TableChange `json:"tables,omitempty"`   // of two databases; before is what has the name
	Commits  *CommitChange `json:"commits,omitempty"`  // of a ref: what it reaches more and less than what has its name
	Replaced string        `json:"replaced,omitempty"` // where what was replaced or dropped is now, within the replica
	Undo     string        `json:"undo,omitempty"`     // how that is got back, for a person
}

// Holder is what has the name of a version that is kept aside.
type Holder struct {
	Kind string `json:"kind"` // nothing, file, link, directory, database
	Size int64  `json:"size"`
}

// Verdict is what a verification found in one replica.
type Verdict struct {
	Replica     string   `json:"replica"`
	Generations int      `json:"generations"` // that were looked at
	Objects     int      `json:"objects"`     // that they refer to
	Bytes       int64    `json:"bytes"`
	Orphans     int      `json:"orphans"` // that no kept generation refers to; they are collected
	OrphanBytes int64    `json:"orphan_bytes"`
	Missing     []string `json:"missing,omitempty"` // objects that are gone, cut short, or damaged
	Lost        []Lost   `json:"lost,omitempty"`    // what of generations cannot be had any more
	Damaged     []string `json:"damaged,omitempty"` // local files whose content changed although nothing else did
	Repaired    []string `json:"repaired,omitempty"`
	Note        string   `json:"note,omitempty"`
	Opened      int      `json:"opened,omitempty"` // repositories and databases that were opened
	Broken      []Broken `json:"broken,omitempty"` // those that are not sound
	Failed      string   `json:"failed,omitempty"` // why it could not be verified, or repaired, to the end
}

// OK reports whether nothing is wrong that was not repaired.
func (v Verdict) OK() bool { return len(v.Missing)+len(v.Damaged)+len(v.Broken) == 0 }

// Lost is a path whose content in some generations is not there any more.
type Lost struct {
	Path        string  `json:"path"` // "" for a whole generation
	Generations []int64 `json:"generations"`
	Now         bool    `json:"now"` // the newest generation is among them
}

// Broken is a repository or a database that can be had, and is not sound.
type Broken struct {
	Path       string   `json:"path"`
	Generation int64    `json:"generation"`
	Wrong      []string `json:"wrong"`           // in words
	Sound      int64    `json:"sound,omitempty"` // the newest older generation that has it sound; 0: none of those that were tried
}

// A client is the history of its coltecd's workspace.
var _ History = (*Client)(nil)

// Generations implements [History].
func (c *Client) Generations(ctx context.Context, req GenerationsRequest, say func(string)) ([]Generation, error) {
	req.Ask = AskGenerations
	return read[[]Generation](ctx, c, req, say)
}

// Checkpoints implements [History].
func (c *Client) Checkpoints(ctx context.Context, req CheckpointsRequest, say func(string)) ([]Checkpoint, error) {
	req.Ask = AskCheckpoints
	return read[[]Checkpoint](ctx, c, req, say)
}

// Versions implements [History].
func (c *Client) Versions(ctx context.Context, req VersionsRequest, say func(string)) (Versions, error) {
	req.Ask = AskVersions
	return read[Versions](ctx, c, req, say)
}

// Changes implements [History].
func (c *Client) Changes(ctx context.Context, req ChangesRequest, say func(string)) (Changes, error) {
	req.Ask = AskChanges
	return read[Changes](ctx, c, req, say)
}

// Compare implements [History].
func (c *Client) Compare(ctx context.Context, req CompareRequest, say func(string)) (Comparison, error) {
	req.Ask = AskCompare
	return read[Comparison](ctx, c, req, say)
}

// Restore implements [History].
func (c *Client) Restore(ctx context.Context, req RestoreRequest, say func(string)) ([]Placed, error) {
	req.Ask = AskRestore
	return read[[]Placed](ctx, c, req, say)
}

// Conflicts implements [History].
func (c *Client) Conflicts(ctx context.Context, req ConflictsRequest, say func(string)) ([]Conflict, error) {
	req.Ask = AskConflicts
	return read[[]Conflict](ctx, c, req, say)
}

// Conflict implements [History].
func (c *Client) Conflict(ctx context.Context, req ConflictRequest, say func(string)) (Conflict, error) {
	req.Ask = AskConflict
	return read[Conflict](ctx, c, req, say)
}

// Take implements [History].
func (c *Client) Take(ctx context.Context, req ConflictRequest, say func(string)) (Conflict, error) {
	req.Ask = AskTake
	return read[Conflict](ctx, c, req, say)
}

// Drop implements [History].
func (c *Client) Drop(ctx context.Context, req ConflictRequest, say func(string)) (Conflict, error) {
	req.Ask = AskDrop
	return read[Conflict](ctx, c, req, say)
}

// Decide implements [History].
func (c *Client) Decide(ctx context.Context, req DecideRequest, say func(string)) (Decided, error) {
	req.Ask = AskDecide
	return read[Decided](ctx, c, req, say)
}

// Verify implements [History].
func (c *Client) Verify(ctx context.Context, req VerifyRequest, say func(string)) ([]Verdict, error) {
	req.Ask = AskVerify
	return read[[]Verdict](ctx, c, req, say)
}

// Garbage implements [History].
func (c *Client) Garbage(ctx context.Context, req GarbageRequest, say func(string)) ([]Garbage, error) {
	req.Ask = AskGarbage
	return read[[]Garbage](ctx, c, req, say)
}
