// Package porttest gives tests ports of loopback that no kernel gives by itself.
package porttest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
)

// Listen takes a port of loopback, and none of those that kernels give by themselves, which may be
// another's once it is closed.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	for {
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 20_000+rand.IntN(12_000)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
}

// Free is the address of a port that [Listen] took, and at which nobody listens any more.
func Free(t testing.TB) string {
	t.Helper()
	l := Listen(t)
	defer l.Close()
	return l.Addr().String()
}
