package engine

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/s3test"
	"github.com/coltec/coltec/pkg/rclone"
	"github.com/coltec/coltec/pkg/scope"
)

// server is a real S3 server behind a proxy with faults, reached by real
// rclone. Its clock is the model's: what the server says of times is replaced.
type server struct {
	dir     string // of its objects
	proxy   *s3test.Proxy
	bin     rclone.Binary
	backend rclone.Backend
	bucket  string
	prefix  string // of this history
	now     time.Time
	written map[string]time.Time
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := s3test.Start(t)
	path, err := s3test.Rclone()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := rclone.Check(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	proxy := s.Proxy(t)
	return &server{
		dir: filepath.Join(s.Dir, s.Bucket), proxy: proxy, bin: bin, bucket: s.Bucket,
		backend: rclone.Backend{Name: "primary", Type: "s3", Options: s.Options(proxy.Endpoint)},
	}
}

// begin gives a history a prefix of its own.
func (s *server) begin(name string) {
	s.prefix, s.written = name, map[string]time.Time{}
	s.now = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
}

func (s *server) remote(t scope.Target) (scope.Remote, error) {
	under := s.prefix
	if t.Replica != "" {
		under += "/" + modelPrefix
	}
	r, err := rclone.NewRemote(s.bin, []rclone.Backend{s.backend}, rclone.Root("primary", s.bucket, under), rclone.Options{})
	if err != nil {
		return nil, err
	}
	if t.Plain {
		r = r.Metadata()
	}
	return &clocked{Remote: r, s: s, under: strings.TrimPrefix(strings.TrimPrefix(under, s.prefix), "/")}, nil
}

func (s *server) advance(d time.Duration) { s.now = s.now.Add(d) }

func (s *server) body(key string) []byte {
	b, err := os.ReadFile(filepath.Join(s.dir, s.prefix, key))
	if err != nil {
		return nil
	}
	return b
}

func (s *server) inject(rnd *rand.Rand) {
	f := s3test.Fault{Times: 1 + rnd.IntN(2)}
	if rnd.IntN(2) == 0 {
		f.Key = "head.json"
	}
	switch rnd.IntN(4) {
	case 0:
		f.Status, f.Code = 503, "SlowDown"
	case 1:
		f.Drop = true
	case 2:
		f.Truncate = true
	default:
		f.DropResponse = true
	}
	s.proxy.Inject(f)
}

func (s *server) land()           {}
func (s *server) heal()           { s.proxy.Reset() }
func (s *server) drop(key string) { must(os.Remove(filepath.Join(s.dir, s.prefix, key))) }

// clocked is a prefix whose objects have the model's times.
type clocked struct {
	scope.Remote
	s     *server
	under string
}

func (c *clocked) key(key string) string { return strings.TrimPrefix(c.under+"/"+key, "/") }

func (c *clocked) PutIf(ctx context.Context, key string, body []byte, cond rclone.Cond) error {
	before := string(c.s.body(c.key(key)))
	err := c.Remote.PutIf(ctx, key, body, cond)
	if after := string(c.s.body(c.key(key))); after != before {
		c.s.written[c.key(key)] = c.s.now
	}
	return err
}

func (c *clocked) Stat(ctx context.Context, key string) (rclone.Object, error) {
	o, err := c.Remote.Stat(ctx, key)
	o.ModTime = c.s.written[c.key(key)].Truncate(time.Second)
	return o, err
}

// TestSoakModel tells histories on real files with real rclone and a real S3
// server. It is behind `make soak-model`: a history takes seconds.
func TestSoakModel(t *testing.T) {
	count := fromEnv("COLTEC_SOAK", 0)
	if count == 0 {
		t.Skip("COLTEC_SOAK is not set: make soak-model tells 100 histories")
	}
	first := fromEnv("COLTEC_FIRST", rand.Uint64N(1<<48)+1)
	if seed := fromEnv("COLTEC_SEED", 0); seed != 0 {
		first, count = seed, 1
	}
	s := newServer(t)
	for i := range count {
		s.begin(time.Now().Format("h20060102T150405.000000000"))
		m := newModel(first+i, s, filepath.Join(t.TempDir(), "h"), "")
		m.tell()
		s.heal()
		if len(m.bad) > 0 {
			t.Fatal(m.report())
		}
		if (i+1)%10 == 0 {
			t.Logf("%d histories", i+1)
		}
	}
	t.Logf("%d histories from seed %d", count, first)
}
