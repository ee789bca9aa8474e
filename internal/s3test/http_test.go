package s3test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// serveHTTP starts a plain server that ends with the test.
func serveHTTP(t *testing.T, f http.HandlerFunc) *url.URL {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
