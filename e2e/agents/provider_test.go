package agents

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coltec/coltec/internal/modeltest"
)

// provider plays those whom agents log in at. It stands between the agents and the world as
// an HTTPS proxy, and is every host itself: programs that ask their own maker's, ask it. Each
// refresh token is good once, and only the newest access token of an agent is taken, until it
// is let expire.
type provider struct {
	URL string // of the proxy
	CA  string // PEM, who says that it is every host

	mux *http.ServeMux
	ca  tls.Certificate

	mu      sync.Mutex
	count   map[string]int // agent → how many logins it has had
	expired map[string]int // agent → which of them are good for nothing but a refresh
	refused []string
	seen    []string // what was asked that nobody answers
}

// newProvider makes one before a model: what it answers goes on to that one.
func newProvider(t *testing.T, m *modeltest.Model) *provider {
	t.Helper()
	p := &provider{mux: http.NewServeMux(), count: map[string]int{}, expired: map[string]int{}}
	p.certify(t)
	for path, answer := range m.APIs() {
		p.mux.HandleFunc("POST "+path, p.known(answer))
	}
	for _, path := range []string{"/v1/oauth/token", "/oauth/token", "/token"} {
		p.mux.HandleFunc("POST "+path, p.refresh)
	}
	p.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.seen = append(p.seen, r.Method+" "+r.Host+r.URL.Path)
		http.NotFound(w, r)
	})
	s := httptest.NewServer(http.HandlerFunc(p.proxy))
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	p.URL = s.URL
	return p
}

// certify makes the authority.
func (p *provider) certify(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "every host of the tests"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	p.ca = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	p.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// host makes the certificate of a host.
func (p *provider) host(name string) (*tls.Certificate, error) {
	ca, err := x509.ParseCertificate(p.ca.Certificate[0])
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	key := p.ca.PrivateKey.(*ecdsa.PrivateKey)
	der, err := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), key)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// proxy is the server: a CONNECT to a host leads to ourselves, and what is asked of it by
// plain HTTP is, too.
func (p *provider) proxy(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		p.mux.ServeHTTP(w, r)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		conn.Close()
		return
	}
	host, _, _ := net.SplitHostPort(r.Host)
	secure := tls.Server(conn, &tls.Config{
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return p.host(host) },
	})
	_ = (&http.Server{Handler: p.mux}).Serve(&single{Conn: secure, done: make(chan struct{})})
}

// single is a listener of one connection, which ends with it.
type single struct {
	net.Conn
	once sync.Once
	done chan struct{}
	took bool
}

func (s *single) Accept() (net.Conn, error) {
	if !s.took {
		s.took = true
		return s, nil
	}
	<-s.done
	return nil, net.ErrClosed
}

func (s *single) Addr() net.Addr { return s.LocalAddr() }

func (s *single) Close() error {
	s.once.Do(func() { close(s.done) })
	return s.Conn.Close()
}

// access, refresher and identity are the newest tokens of an agent.
func access(agent string, n int) string {
	return token(agent, n, "access")
}

func refresher(agent string, n int) string { return token(agent, n, "refresh") }

// token is one that no two logins have, in the form of a JWT that says what programs look for in one.
func token(agent string, n int, kind string) string {
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	claims := object{
		"sub": agent, "email": "someone@example.org", "exp": time.Now().Unix() + 3600, "iat": time.Now().Unix(),
		"https://api.openai.com/auth": object{"chatgpt_account_id": "account", "chatgpt_plan_type": "pro", "chatgpt_user_id": "someone"},
	}
	return strings.Join([]string{part(object{"alg": "none", "typ": "JWT"}), part(claims), fmt.Sprintf("%s-%s-%s-%d-", secret, kind, agent, n)}, ".")
}

// whose is the agent of a token, and which of its tokens of that kind it is.
func whose(text, kind string) (agent string, n int) {
	_, rest, _ := strings.Cut(text, secret+"-"+kind+"-")
	agent, rest, _ = strings.Cut(rest, "-")
	_, _ = fmt.Sscanf(rest, "%d-", &n)
	return agent, n
}

// known has only the newest login of an agent be answered.
func (p *provider) known(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		agent, n := whose(r.Header.Get("Authorization"), "access")
		p.mu.Lock()
		newest, expired := p.count[agent], p.expired[agent]
		if n == 0 || n != newest {
			p.refused = append(p.refused, fmt.Sprintf("access token %d of %q, whose newest is %d: %s %s", n, agent, newest, r.Host, r.URL.Path))
		}
		p.mu.Unlock()
		if n == 0 || n != newest || n <= expired {
			http.Error(w, `{"type": "error", "error": {"type": "authentication_error", "message": "not the newest login"}}`, http.StatusUnauthorized)
			return
		}
		answer(w, r)
	}
}

// refresh gives new tokens for the newest refresh token.
func (p *provider) refresh(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	text := string(body)
	if form, err := url.ParseQuery(text); err == nil && form.Get("refresh_token") != "" {
		text = form.Get("refresh_token")
	}
	agent, n := whose(text, "refresh")
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if n == 0 || n != p.count[agent] {
		p.refused = append(p.refused, fmt.Sprintf("refresh token %d of %q, whose newest is %d", n, agent, p.count[agent]))
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error": "invalid_grant", "error_description": "it was used before"}`)
		return
	}
	p.count[agent]++
	n++
	_ = json.NewEncoder(w).Encode(object{
		"access_token": access(agent, n), "refresh_token": refresher(agent, n), "id_token": token(agent, n, "identity"),
		"token_type": "Bearer", "expires_in": 1, "scope": "user:inference user:profile",
	})
}

// expire has each agent need a refresh.
func (p *provider) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for agent, n := range p.count {
		p.expired[agent] = n
	}
}

// account says what was refused, and what was asked in vain.
func (p *provider) account() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("logins %v, refused %q, asked in vain %q", p.count, p.refused, p.seen)
}

// first is an agent's first login, made by a person.
func (p *provider) first(agent string) (accessToken, refreshToken, identity string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count[agent] = 1
	return access(agent, 1), refresher(agent, 1), token(agent, 1, "identity")
}
