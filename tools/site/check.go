package main

import (
	"fmt"
	"html"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	hrefs   = regexp.MustCompile(`<[a-z]+ [^>]*?(?:href|src)="([^"]*)"`)
	anchors = regexp.MustCompile(`<[a-z0-9]+ [^>]*?id="([^"]*)"`)
	foreign = regexp.MustCompile(`(?i)<(?:script|iframe|object|embed|form)\b|<[a-z]+(?:\s[^>]*)?\son[a-z]+=|<(?:img|link) [^>]*(?:href|src)="(?:[a-z]+:)?//`)
)

// check holds the site to itself: each link leads to a file and an anchor that are there, each
// page is reached from the first, no anchor is given twice, and nothing is a script or comes from
// elsewhere.
func check(files map[string][]byte) (wrong []error) {
	reached := map[string]bool{}
	for next := []string{index}; len(next) > 0; next = next[1:] {
		if reached[next[0]] {
			continue
		}
		reached[next[0]] = true
		for _, l := range linksOf(next[0], files[next[0]]) {
			next = append(next, l.file)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !reached[name] {
			wrong = append(wrong, fmt.Errorf("%s: no way leads to it from %s", name, index))
		}
		if path.Ext(name) != ".html" {
			continue
		}
		if m := foreign.Find(files[name]); m != nil {
			wrong = append(wrong, fmt.Errorf("%s: it has %s", name, m))
		}
		given := anchorsOf(files[name])
		slices.Sort(given)
		if len(slices.Compact(slices.Clone(given))) != len(given) {
			wrong = append(wrong, fmt.Errorf("%s: an anchor is given twice", name))
		}
		for _, l := range linksOf(name, files[name]) {
			body, there := files[l.file]
			if !there {
				wrong = append(wrong, fmt.Errorf("%s: %s is not there", name, l.file))
			} else if l.anchor != "" && !slices.Contains(anchorsOf(body), l.anchor) {
				wrong = append(wrong, fmt.Errorf("%s: %s has no anchor %q", name, l.file, l.anchor))
			}
		}
	}
	return wrong
}

// link is one within the site.
type link struct{ file, anchor string }

// linksOf are the links of a page within the site.
func linksOf(name string, body []byte) (list []link) {
	if path.Ext(name) != ".html" {
		return nil
	}
	for _, m := range hrefs.FindAllSubmatch(body, -1) {
		to := html.UnescapeString(string(m[1]))
		if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
			continue
		}
		file, anchor, _ := strings.Cut(to, "#")
		for _, text := range []*string{&file, &anchor} {
			if plain, err := url.PathUnescape(*text); err == nil {
				*text = plain
			}
		}
		if file == "" {
			file = name
		} else {
			file = path.Join(path.Dir(name), file)
		}
		list = append(list, link{file, anchor})
	}
	return list
}

func anchorsOf(body []byte) (list []string) {
	for _, m := range anchors.FindAllSubmatch(body, -1) {
		list = append(list, html.UnescapeString(string(m[1])))
	}
	return list
}

// pages counts those of a site.
func pages(files map[string][]byte) (n int) {
	for name := range files {
		if path.Ext(name) == ".html" {
			n++
		}
	}
	return n
}

// count counts what check looked at.
func count(files map[string][]byte) (links, names int) {
	for name, body := range files {
		list := linksOf(name, body)
		links += len(list)
		if path.Ext(name) == ".html" {
			names += len(anchorsOf(body))
		}
	}
	return links, names
}
