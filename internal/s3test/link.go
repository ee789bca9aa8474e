package s3test

import (
	"context"
	"io"
	"sync"
	"time"
)

// Link makes what is between the clients and the server as slow as a network:
// latency is added to each request, and each direction carries so many bytes a
// second, shared by all requests. Zeros take that back.
func (p *Proxy) Link(latency time.Duration, bytesPerSecond int64) {
	p.mu.Lock()
	p.latency = latency
	p.mu.Unlock()
	p.up.setRate(bytesPerSecond)
	p.down.setRate(bytesPerSecond)
}

// Total is what came through a proxy since its last Reset.
type Total struct {
	Requests int
	Sent     int64 // bytes of bodies, from clients
	Received int64 // and to them
}

// Total sums the record up.
func (p *Proxy) Total() Total {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := Total{Requests: len(p.requests)}
	for _, r := range p.requests {
		t.Sent += r.Sent
		t.Received += r.Received
	}
	return t
}

// travel takes as long as a request's way to the server and back.
func (p *Proxy) travel(ctx context.Context) {
	p.mu.Lock()
	latency := p.latency
	p.mu.Unlock()
	rest(ctx, latency)
}

// count adds to a field of a record.
func (p *Proxy) count(field *int64, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*field += int64(n)
}

// upload is a request's body on its way through the link.
type upload struct {
	io.ReadCloser
	ctx context.Context
	p   *Proxy
	req *Request
}

func (u *upload) Read(b []byte) (int, error) {
	n, err := u.ReadCloser.Read(b)
	u.p.up.carry(u.ctx, n)
	u.p.count(&u.req.Sent, n)
	return n, err
}

// pipe is one direction of a link. The zero value is as fast as it can be.
type pipe struct {
	mu   sync.Mutex
	rate int64     // bytes a second; 0: no bound
	free time.Time // when all that was accepted so far will be through
}

func (p *pipe) setRate(rate int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = rate
}

// carry returns when n bytes are through.
func (p *pipe) carry(ctx context.Context, n int) {
	p.mu.Lock()
	if p.rate == 0 {
		p.mu.Unlock()
		return
	}
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(int64(n) * int64(time.Second) / p.rate))
	wait := p.free.Sub(now)
	p.mu.Unlock()
	rest(ctx, wait)
}

// rest sleeps for d, at most until ctx ends. A millisecond is the least that is
// worth a sleep: what is left is made up for by the next one.
func rest(ctx context.Context, d time.Duration) {
	if d < time.Millisecond {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
