package console

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ways are those by which a text becomes markup or code in a browser.
var ways = []string{
	"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "dangerouslySetInnerHTML", "eval(", "new Function", "createContextualFragment", "DOMParser", "srcdoc",
	"setHTMLUnsafe", "javascript:", "importScripts", "import(", "WebSocket", "document.cookie", "postMessage", "href=${", "src=${", "style=",
}

// What we wrote of the page makes no markup and no code of a text, loads nothing from elsewhere, and
// says of nothing inline that it may.
func TestPage(t *testing.T) {
	files, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range files {
		if strings.HasPrefix(name, "lib/") {
			continue
		}
		for _, way := range ways {
			if strings.Contains(string(f.body), way) {
				t.Errorf("%s: %s", name, way)
			}
		}
		if at := regexp.MustCompile(`(https?:)?//[a-z0-9.-]+\.[a-z]{2,}`).FindString(strings.ReplaceAll(string(f.body), "http://www.w3.org/2000/svg", "")); at != "" {
			t.Errorf("%s: %s", name, at)
		}
	}
	index := string(files[""].body)
	if bad := regexp.MustCompile(`(?i)<script>|<script [^>]*>[^<]|<style|\son\w+=`).FindString(index); bad != "" {
		t.Errorf("index.html: %s", bad)
	}
	var named []string
	for _, m := range regexp.MustCompile(`(?:src|href)="/([^"]+)"`).FindAllStringSubmatch(index, -1) {
		named = append(named, m[1])
		if _, ok := files[m[1]]; !ok {
			t.Errorf("index.html: there is no %s", m[1])
		}
	}
	for name := range files {
		if ext := path.Ext(name); (ext == ".js" || ext == ".css") && !slices.Contains(named, name) {
			t.Errorf("index.html does not name %s", name)
		}
	}
}

// What others wrote of the page is as they published it, and its licences are beside it.
func TestVendored(t *testing.T) {
	files, err := load()
	if err != nil {
		t.Fatal(err)
	}
	list := string(files["lib/README.txt"].body)
	n := 0
	for name, f := range files {
		if file, is := strings.CutPrefix(name, "lib/"); is && path.Ext(name) == ".js" {
			n++
			sum := sha256.Sum256(f.body)
			if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(file) + ` .* ` + hex.EncodeToString(sum[:]) + `$`).MatchString(list) {
				t.Errorf("%s is not that of lib/README.txt: %x", file, sum)
			}
			if strings.Contains(string(f.body), "eval(") || strings.Contains(string(f.body), "new Function") {
				t.Errorf("%s makes code of texts", file)
			}
		}
	}
	if n == 0 || !strings.Contains(list, "MIT License") || !strings.Contains(list, "Apache License") {
		t.Errorf("%d files, and their licences:\n%s", n, list)
	}
}
