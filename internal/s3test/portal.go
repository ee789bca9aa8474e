package s3test

import (
	"fmt"
	"io"
	"net"
	"net/http"
)

// Portal is a way in which something between a client and its store answers in
// the store's place: the captive portal of a hotel, a proxy that wants a login.
type Portal string

// The portals. A HEAD is answered as a GET is, without the body.
const (
	PortalRedirect   Portal = "redirect"    // 302 to a login page on another host
	PortalTemporary  Portal = "temporary"   // 307 to it, which keeps the method
	PortalLoop       Portal = "loop"        // 302 to itself, for ever
	PortalPage       Portal = "page"        // 200 and a login page
	PortalTaggedPage Portal = "tagged page" // the same from a file server: with an ETag
	PortalEmpty      Portal = "empty"       // 200 and nothing
	PortalNoContent  Portal = "no content"  // 204
	PortalJSON       Portal = "json"        // 200 and JSON
	PortalForbidden  Portal = "forbidden"   // 403 and a page
	PortalNotFound   Portal = "not found"   // 404 and a page
	PortalRequired   Portal = "required"    // 511 Network Authentication Required
	PortalBogus      Portal = "bogus"       // 200, nothing, and an ETag that no store would give
)

// Portals are all of them.
var Portals = []Portal{
	PortalRedirect, PortalTemporary, PortalLoop, PortalPage, PortalTaggedPage, PortalEmpty, PortalNoContent,
	PortalJSON, PortalForbidden, PortalNotFound, PortalRequired, PortalBogus,
}

// LoginPage is the path, on a portal's own host, of its login page.
const LoginPage = "/login.html"

// ServeHTTP answers in the place of the store.
func (p Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Reading the body first keeps the client from a reset while it writes.
	_, _ = io.Copy(io.Discard, r.Body)
	switch p {
	case PortalRedirect, PortalTemporary:
		// The address of this very listener under its other name: another host.
		_, port, _ := net.SplitHostPort(r.Host)
		status := http.StatusFound
		if p == PortalTemporary {
			status = http.StatusTemporaryRedirect
		}
		http.Redirect(w, r, "http://localhost:"+port+LoginPage, status)
	case PortalLoop:
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
	case PortalPage:
		page(w, r, http.StatusOK)
	case PortalTaggedPage:
		w.Header().Set("ETag", `"65f1c3a2-2d4"`)
		page(w, r, http.StatusOK)
	case PortalEmpty:
		w.WriteHeader(http.StatusOK)
	case PortalNoContent:
		w.WriteHeader(http.StatusNoContent)
	case PortalJSON:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintln(w, `{"captive": true}`)
	case PortalForbidden:
		page(w, r, http.StatusForbidden)
	case PortalNotFound:
		page(w, r, http.StatusNotFound)
	case PortalRequired:
		page(w, r, http.StatusNetworkAuthenticationRequired)
	case PortalBogus:
		w.Header().Set("ETag", `"bogus"`)
		w.WriteHeader(http.StatusOK)
	default:
		panic("no portal " + string(p))
	}
}

// page writes a login page.
func page(w http.ResponseWriter, r *http.Request, status int) {
	const login = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><form>Room number: <input></form></body></html>\n"
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", fmt.Sprint(len(login)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, login)
	}
}
