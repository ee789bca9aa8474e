package rclone

import "context"

// Limiter bounds the rclones under way at once.
type Limiter chan struct{}

// NewLimiter returns a limiter to share.
func NewLimiter(n int) Limiter { return make(Limiter, n) }

// enter takes a place, or fails when the context ends first.
func (l Limiter) enter(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// leave gives the place back.
func (l Limiter) leave() { <-l }
