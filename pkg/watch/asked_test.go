package watch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/sample"
)

// covers reports whether a walk of what was touched meets a path.
func (t Touched) covers(p string) bool {
	if t == nil {
		return true
	}
	dir := path.Dir("/" + p)[1:]
	if _, is := t[dir]; is {
		return true
	}
	for d, whole := range t {
		if whole && (d == "" || len(p) > len(d) && p[:len(d)+1] == d+"/") {
			return true
		}
	}
	return false
}

// What was done before somebody asked was told of before the answer, in old and new
// directories, while others write as fast as they can.
func TestAsked(t *testing.T) {
	sample.Long(t)
	const seed = 3
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	root := t.TempDir()
	for i := range 5 {
		if err := os.Mkdir(filepath.Join(root, fmt.Sprint("d", i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	told := Touched{}
	begun, asks := make(chan struct{}), make(chan func(Touched))
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() {
		Run(ctx, Options{
			Root: root, Match: without("left out"), Quiet: time.Hour, Most: time.Hour, Asked: asks,
			Changed: func(dirs Touched) { mu.Lock(); defer mu.Unlock(); told = told.Join(dirs) },
			Trouble: func(err error) {
				if err == nil {
					close(begun)
				}
			},
		})
	})
	<-begun
	all.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			_ = os.WriteFile(filepath.Join(root, "d0", fmt.Sprint(i%50)), []byte("load"), 0o644)
		}
	})
	for i := range sample.Size(200, 1000) {
		p := fmt.Sprintf("d%d/f%d", 1+rnd.IntN(4), i)
		switch rnd.IntN(4) {
		case 0:
			p = fmt.Sprintf("d%d/n%d/e/f", 1+rnd.IntN(4), i)
		case 1:
			p = fmt.Sprintf("f%d", i)
		}
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(p)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, p), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		select {
		case asks <- func(dirs Touched) {
			mu.Lock()
			defer mu.Unlock()
			told = told.Join(dirs)
			close(done)
		}:
		case <-time.After(time.Minute):
			t.Fatal("nobody listens")
		}
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatal("nobody answers")
		}
		mu.Lock()
		if !told.covers(p) {
			t.Fatalf("%q was written before, and told was only of %v", p, told)
		}
		told = Touched{}
		mu.Unlock()
	}
}
