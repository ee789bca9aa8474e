package storetest

import (
	"context"

	"github.com/coltec/coltec/pkg/rclone"
)

// ListEach is List with the times at which objects were written.
func (b *Bucket) ListEach(ctx context.Context, prefix string, lo rclone.ListOptions, f func(rclone.Object) error) error {
	objects, err := b.List(ctx, prefix)
	if err != nil {
		return err
	}
	at := b.At(prefix)
	for _, o := range objects {
		if lo.ModTime {
			b.mu.Lock()
			o.ModTime = b.objects[at.key(o.Key)].written
			b.mu.Unlock()
		}
		if err := f(o); err != nil {
			return err
		}
	}
	return nil
}
