package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/coltec/coltec/pkg/control"
	"github.com/coltec/coltec/pkg/status"
)

// metricsPort answers a Prometheus on a loopback port while the spec asks for that. A port
// that cannot be had keeps nothing else from going on.
type metricsPort struct {
	look func() status.Document
	log  *slog.Logger

	mu     sync.Mutex   // guards what follows
	at     string       // the address; "": none is asked for
	server *http.Server // nil: none listens
	err    error        // why none does
}

// set has the port be at an address, "" for none. One that could not be had is tried again.
func (m *metricsPort) set(at string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at == m.at && m.err == nil {
		return
	}
	if m.server != nil {
		_ = m.server.Close()
	}
	m.at, m.server, m.err = at, nil, nil
	if at == "" {
		return
	}
	// The address is a literal one of loopback, which pkg/spec holds.
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", at)
	if err != nil {
		m.err = err
		m.log.Warn("cannot listen for metrics", "address", at, "error", err)
		return
	}
	m.server = &http.Server{
		Handler:           m.handler(),
		ReadHeaderTimeout: 5 * time.Second, // a local client sends its header at once
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       2 * time.Minute, // longer than anybody waits between two scrapes
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
	}
	go m.serve(m.server, l)
}

// serve answers until the server is closed. Where it ends by itself, that is said, and the port is
// taken again at the next reload.
func (m *metricsPort) serve(s *http.Server, l net.Listener) {
	err := s.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.server == s {
		m.err = err
		m.log.Warn("no metrics are served any more", "address", m.at, "error", err)
	}
}

// handler answers GET /metrics, to those who asked for this machine by a name of its own: a
// page in a browser, whose name was made to lead here, does not.
func (m *metricsPort) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if !isLocal(r.Host) {
			http.Error(w, "metrics are for this machine: ask for localhost, or its address", http.StatusForbidden)
			return
		}
		control.ServeMetrics(w, r, m.look())
	})
	return mux
}

// isLocal reports whether the Host of a request is localhost or an address of loopback.
func isLocal(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil { // it has no port
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	ip, err := netip.ParseAddr(name)
	return strings.EqualFold(name, "localhost") || err == nil && ip.IsLoopback()
}

// attention says that the port could not be had, and the next step.
func (m *metricsPort) attention(program string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		return nil
	}
	return []string{fmt.Sprintf("no metrics are served: %v: give metrics.listen a free port, or free it and run %s reload", m.err, program)}
}
