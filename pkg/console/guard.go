package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// policy is what a browser may load and do for the page: its own files, nothing inline, no text
// that becomes code or markup.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// guarded answers those alone who asked for this machine by a name of its own: a page of a name
// that was made to lead here (DNS rebinding) has another one.
func (c *Console) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case !c.isOurs(r.Host):
			refuse(w, http.StatusMisdirectedRequest, "this page is for this machine, at the address that coltec ui printed",
				"through a tunnel, use the same port at both ends")
		case !fromHere(r):
			refuse(w, http.StatusForbidden, "another page may not ask this one")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// isOurs reports whether a Host is one of the three names of loopback, with our port, which a
// browser leaves out where it is that of HTTP.
func (c *Console) isOurs(host string) bool {
	if c.Port == 80 && (host == "127.0.0.1" || host == "[::1]" || host == "localhost") {
		return true
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil || port != strconv.Itoa(c.Port) {
		return false
	}
	return name == "127.0.0.1" || name == "::1" || name == "localhost"
}

// fromHere reports whether a request is of our own page, of a person who opens it, or of a
// program that is no browser: a browser says where a request is from, and a page cannot have it
// say something else.
func fromHere(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin":
		return true
	case "none":
		return !isAPI(r)
	}
	// A link on another page leads here as typing the address does: it shows the page and nothing
	// of a workspace, as it has no token.
	return !isAPI(r) && r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

func isAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }

// vouched answers those alone who have the token. It is in a header that our page sets, and in no
// cookie: browsers send cookies to all ports of a machine, and with what other pages ask.
func (c *Console) vouched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		sum := sha256.Sum256([]byte(given)) // of one length, whatever was given
		if !ok || subtle.ConstantTimeCompare(sum[:], c.token[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, "the token is missing or wrong", "open the address that coltec ui printed")
			return
		}
		if r.Method == http.MethodHead { // a mux takes it for GET, and a program would be run for nothing
			w.Header().Set("Allow", "GET, POST")
			refuse(w, http.StatusMethodNotAllowed, "there is no HEAD here")
			return
		}
		next.ServeHTTP(w, r)
	})
}
