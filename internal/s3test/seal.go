package s3test

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
)

// SealedBy is what a bucket under SSE-KMS does, or one whose gateway keeps ETags of its own:
// they look like an MD5, and are none. header is what it says of it; it may be empty.
func SealedBy(header http.Header) func(string) (string, http.Header) {
	return func(tag string) (string, http.Header) {
		return fmt.Sprintf("%x", md5.Sum([]byte("sealed "+tag))), header
	}
}

// listsTags are the requests whose answers have ETags in their XML.
var listsTags = []Kind{List, Copy, Multipart}

// tagged are the ETags in XML.
var tagged = regexp.MustCompile(`<ETag>(?:&quot;|&#34;|")?([^<&"]*)(?:&quot;|&#34;|")?</ETag>`)

// seal gives the answer other ETags.
func (p *Proxy) seal(w *answer, f *Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sealed == nil {
		p.sealed = map[string]string{}
	}
	sealed := func(tag string) string {
		name, _ := f.Seal(tag)
		p.sealed[name] = tag
		return name
	}
	if tag := strings.Trim(w.Header().Get("ETag"), `"`); tag != "" {
		_, header := f.Seal(tag)
		maps.Copy(w.Header(), header)
		w.Header().Set("ETag", `"`+sealed(tag)+`"`)
	}
	if !w.held || len(w.body) == 0 {
		return
	}
	w.body = tagged.ReplaceAllFunc(w.body, func(b []byte) []byte {
		return []byte("<ETag>&quot;" + sealed(string(tagged.FindSubmatch(b)[1])) + "&quot;</ETag>")
	})
	w.Header().Del("Content-Length")
}

// unseal gives a condition the ETag that the store knows.
func (p *Proxy) unseal(r *http.Request) {
	tag := strings.Trim(r.Header.Get("If-Match"), `"`)
	if tag == "" {
		return
	}
	p.mu.Lock()
	known, is := p.sealed[tag]
	p.mu.Unlock()
	if !is {
		known = "no such"
	}
	r.Header.Set("If-Match", `"`+known+`"`)
	resign(r, p.secret)
}

// resign signs a request anew, as the client did (Signature Version 4): a condition is signed.
func resign(r *http.Request, secret string) {
	before, signature, found := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	_, scope, _ := strings.Cut(before, "Credential=")
	scope, _, _ = strings.Cut(scope, ",")
	_, names, _ := strings.Cut(before, "SignedHeaders=")
	names = strings.TrimRight(names, ", ")
	_, scope, _ = strings.Cut(scope, "/") // without the key's name
	parts := strings.Split(scope, "/")
	if !found || signature == "" || len(parts) != 4 {
		return
	}
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", r.Method, r.URL.EscapedPath(), strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20"))
	for name := range strings.SplitSeq(names, ";") {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		fmt.Fprintf(&canonical, "%s:%s\n", name, strings.Join(strings.Fields(value), " "))
	}
	fmt.Fprintf(&canonical, "\n%s\n%s", names, r.Header.Get("X-Amz-Content-Sha256"))
	text := fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", r.Header.Get("X-Amz-Date"), scope, sha256.Sum256([]byte(canonical.String())))
	key := []byte("AWS4" + secret)
	for _, part := range append(parts, text) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	r.Header.Set("Authorization", fmt.Sprintf("%sSignature=%x", before, key))
}
