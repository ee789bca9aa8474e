package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

const (
	gitCommits = 20_000
	gitRounds  = 5 // repositories that are copied while they move
)

// repository is what a part with a git repository works on. File sync of its git
// directory by rclone is what others do.
type repository struct {
	*set
	a, b *machine
}

func (s *set) partGit() (err error) {
	r := repository{set: s}
	if r.a, err = s.b.newMachine(filepath.Join(s.dir, "git-a"), "git", s.b.interval); err != nil {
		return err
	}
	if r.b, err = s.b.newMachine(filepath.Join(s.dir, "git-b"), "git", s.b.interval); err != nil {
		return err
	}
	if err := r.history(); err != nil {
		return err
	}
	name := fmt.Sprintf("a repository of %s commits", thousands(gitCommits))
	if err := r.compare(name+": first push", r.a.verb("run", "--once")); err != nil {
		return err
	}
	stop, err := r.a.start(s.ctx)
	if err != nil {
		return err
	}
	err = errors.Join(r.a.do(s.ctx, "sync"), r.git("commit", "-q", "--allow-empty", "-m", "one more"))
	if err == nil {
		err = r.compare(name+": one commit", r.a.verb("sync"), most(4), most(2))
	}
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	return r.moving(name)
}

func (r repository) tree() string { return filepath.Join(r.a.tree, "work") }

// git runs git in the repository.
func (r repository) git(args ...string) error { return gitIn(r.ctx, r.tree(), nil, args...) }

func gitIn(ctx context.Context, dir string, stdin []byte, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org",
		"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return nil
}

// history makes the repository.
func (r repository) history() error {
	var b bytes.Buffer
	for i := range gitCommits {
		body := fmt.Sprintf("line %d of file %d\n", i, i%1000)
		fmt.Fprintf(&b, "commit refs/heads/main\ncommitter A <a@example.org> %d +0000\ndata 6\nc%05d\nM 100644 inline d%d/f%d\ndata %d\n%s\n",
			1700000000+i, i, i%10, i%1000, len(body), body)
	}
	b.WriteString("done\n")
	return errors.Join(os.MkdirAll(r.tree(), 0o755), r.git("init", "-q", "-b", "main"),
		gitIn(r.ctx, r.tree(), b.Bytes(), "fast-import", "--quiet", "--done"), r.git("reset", "-q", "--hard"))
}

// send is rclone's way to bring the git directory into the bucket.
func (r repository) send() program {
	return r.b.b.rcloneRun(r.dir, "sync", filepath.Join(r.tree(), ".git"), r.b.b.remote("git"), "--transfers", "32", "--checkers", "32", "--fast-list")
}

// compare measures one operation of both. The goals are of requests, then of
// time.
func (r repository) compare(name string, ours program, goals ...goal) error {
	o, err := r.set.b.run(r.ctx, ours)
	if err != nil {
		return err
	}
	its, err := r.set.b.run(r.ctx, r.send())
	if err != nil {
		return err
	}
	requestGoals, timeGoals := goals[:min(1, len(goals))], goals[min(1, len(goals)):]
	r.add(figure{Name: name, Unit: "s", Ours: wall(o), Beside: []peer{{"rclone, of .git", wall(its)}}, Goals: timeGoals})
	r.add(figure{Name: name + ": requests", Unit: "requests", Ours: requests(o), Beside: []peer{{"rclone, of .git", requests(its)}}, Goals: requestGoals})
	r.add(figure{Name: name + ": sent", Unit: "MB", Ours: sent(o), Beside: []peer{{"rclone, of .git", sent(its)}}})
	return nil
}

// moving copies the repository while commits go on, and counts the copies that
// git finds damaged.
func (r repository) moving(name string) error {
	broken, brokenFiles := 0, 0
	for i := range gitRounds {
		if err := r.whileMoving(func() error { return r.a.do(r.ctx, "run", "--once") }); err != nil {
			return err
		}
		if err := r.b.do(r.ctx, "run", "--once"); err != nil {
			return err
		}
		if gitIn(r.ctx, filepath.Join(r.b.tree, "work"), nil, "fsck", "--no-dangling") != nil {
			broken++
		}
		sendErr := error(nil)
		if err := r.whileMoving(func() error { sendErr = r.set.b.spend(r.ctx, r.send(), &sample{}); return nil }); err != nil {
			return err
		}
		copied := filepath.Join(r.dir, "copied"+strconv.Itoa(i))
		if err := r.set.b.spend(r.ctx, r.set.b.rcloneRun(r.dir, "copy", r.set.b.remote("git"), filepath.Join(copied, ".git")), &sample{}); err != nil {
			return err
		}
		_ = os.Mkdir(filepath.Join(copied, ".git/refs"), 0o755) // rclone brings no empty directories
		if sendErr != nil || gitIn(r.ctx, copied, nil, "fsck", "--no-dangling") != nil {
			brokenFiles++
		}
	}
	r.add(figure{
		Name: name + ": damaged copies, or none, while commits go on", Unit: "of " + strconv.Itoa(gitRounds), Ours: float64(broken),
		Beside: []peer{{"rclone, of .git", float64(brokenFiles)}}, Goals: []goal{most(0)},
	})
	return nil
}

// whileMoving runs something while commits, and now and then a gc, go on.
func (r repository) whileMoving(do func() error) error {
	ctx, stop := context.WithCancel(r.ctx)
	ended := make(chan error, 1)
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			args := []string{"commit", "-q", "--allow-empty", "-m", time.Now().String()}
			if i%20 == 19 {
				args = []string{"gc", "-q", "--prune=now"}
			}
			if err := gitIn(r.ctx, r.tree(), nil, args...); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	err := do()
	stop()
	return errors.Join(err, <-ended)
}
