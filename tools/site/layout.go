package main

import (
	"bytes"
	_ "embed"
	"html/template"
	"maps"
	"path"
	"slices"
	"strings"
)

//go:embed style.css
var style []byte

// groups are the navigation. A page that is in none of them comes under the last.
var groups = []struct {
	Title string
	Pages []string
}{
	{"Begin", []string{"README.md", "docs/playbook.md", "docs/comparison.md", "docs/troubleshooting.md"}},
	{"Use", []string{"docs/agents.md", "docs/hop.md", "docs/hosts.md", "docs/live-state.md", "docs/tailnet.md", "docs/templates.md", "docs/upgrade.md", "docs/metrics.md"}},
	{"Look up", []string{"docs/cli-coltec.md", "docs/cli.md", "docs/spec.md", "docs/states.md", "docs/control.md", "docs/storage.md", "CHANGELOG.md"}},
	{"Trust", []string{"docs/security.md", "docs/guarantees.md", "docs/faults.md", "docs/performance.md", "docs/licences.md"}},
	{"Take part", []string{"CONTRIBUTING.md", "docs/HACKING.md", "docs/ARCHITECTURE.md", "docs/planner.md", "docs/captures.md", decisions}},
	{"More", nil},
}

// decisions is the source of the list of decisions, which is no file.
const decisions = "docs/decisions"

// decisions makes the list of them.
func (s *site) decisions() {
	names := s.lists[decisions]
	if len(names) == 0 {
		return
	}
	p := &page{source: decisions, out: decisions + "/index.html", title: "Decisions"}
	var b bytes.Buffer
	b.WriteString("<h1 id=\"decisions\">Decisions</h1>\n<p>One page each: what was decided, why, and what was measured.</p>\n<ul>\n")
	for _, name := range names {
		q := s.pages[name]
		b.WriteString("<li><a href=\"" + relative(p.out, q.out) + "\">" + template.HTMLEscapeString(q.title) + "</a></li>\n")
	}
	b.WriteString("</ul>\n")
	p.body = b.Bytes()
	s.pages[p.source] = p
}

// entry is a line of the navigation.
type entry struct {
	Href, Title string
	Here        bool
}

// group is a part of it.
type group struct {
	Title   string
	Entries []entry
}

// navigation leads from a page to each other, but to single decisions.
func (s *site) navigation(from *page) []group {
	rest := maps.Clone(s.pages)
	var list []group
	for i, g := range groups {
		names := g.Pages
		if i == len(groups)-1 {
			names = slices.DeleteFunc(slices.Sorted(maps.Keys(rest)), func(name string) bool { return path.Dir(name) == decisions })
		}
		var entries []entry
		for _, name := range names {
			if p := s.pages[name]; p != nil {
				entries = append(entries, entry{relative(from.out, p.out), p.title, p == from})
			}
			delete(rest, name)
		}
		if len(entries) > 0 {
			list = append(list, group{g.Title, entries})
		}
	}
	return list
}

// contentsLeast is from how many parts on a page begins with a list of them.
const contentsLeast = 4

// layout is a page as a browser gets it.
func (s *site) layout(p *page) []byte {
	var b bytes.Buffer
	var contents []entry
	if len(p.parts) >= contentsLeast {
		for _, h := range p.parts {
			contents = append(contents, entry{Href: "#" + h.id, Title: h.title})
		}
	}
	title := p.title
	if p.out != index {
		title += " · Coltec"
	}
	err := frame.Execute(&b, map[string]any{
		"Title": title, "Style": relative(p.out, "style.css"), "Groups": s.navigation(p),
		"Contents": contents, "Body": template.HTML(p.body), // made by goldmark, without HTML of the page's own
		"Source": strings.TrimSuffix(p.source, "/"),
	})
	if err != nil {
		panic("internal error: " + err.Error())
	}
	return b.Bytes()
}

var frame = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{.Title}}</title>
<link rel="stylesheet" href="{{.Style}}">
</head>
<body>
<a class="to-pages" href="#all-pages">All pages</a>
<main>
{{if .Contents}}<details class="contents">
<summary>On this page</summary>
<ul>
{{range .Contents}}<li><a href="{{.Href}}">{{.Title}}</a></li>
{{end}}</ul>
</details>
{{end}}{{.Body}}<footer><p>Made of <code>{{.Source}}</code> by <code>make site</code>.</p></footer>
</main>
<nav id="all-pages" aria-label="All pages">
{{range .Groups}}<p>{{.Title}}</p>
<ul>
{{range .Entries}}<li><a href="{{.Href}}"{{if .Here}} aria-current="page"{{end}}>{{.Title}}</a></li>
{{end}}</ul>
{{end}}</nav>
</body>
</html>
`))
