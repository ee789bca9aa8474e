package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// index is the page of README.md.
const index = "index.html"

// sources are the pages, by patterns of the repository.
var sources = []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/*.md", "docs/decisions/*.md"}

// page is one document.
type page struct {
	source string // its path in the repository
	out    string // its path in the site
	title  string // of its first heading
	body   []byte
	parts  []part // its headings of the second level
}

// part is a heading of a page.
type part struct{ id, title string }

// site is what is made of a repository.
type site struct {
	repo  fs.FS
	pages map[string]*page // by source
	lists map[string][]string
	files map[string][]byte // what comes along beside the pages, by path in the site
}

// render makes all files of the site, by their paths in it. The same repository makes the same
// bytes.
func render(repo fs.FS) (map[string][]byte, error) {
	s := &site{repo: repo, pages: map[string]*page{}, lists: map[string][]string{}, files: map[string][]byte{"style.css": style}}
	texts := map[string][]byte{}
	for _, pattern := range sources {
		names, err := fs.Glob(repo, pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if texts[name], err = fs.ReadFile(repo, name); err != nil {
				return nil, err
			}
			s.pages[name] = &page{source: name, out: outOf(name)}
			s.lists[path.Dir(name)] = append(s.lists[path.Dir(name)], name)
		}
	}
	if s.pages["README.md"] == nil {
		return nil, fmt.Errorf("there is no README.md")
	}
	for _, name := range slices.Sorted(maps.Keys(s.pages)) {
		if err := s.convert(s.pages[name], texts[name]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	s.decisions()
	for _, p := range s.pages {
		s.files[p.out] = s.layout(p)
	}
	return s.files, nil
}

// outOf is where a page lies in the site.
func outOf(source string) string {
	if source == "README.md" {
		return index
	}
	return strings.ToLower(strings.TrimSuffix(source, ".md")) + ".html"
}

// convert renders the Markdown of a page.
func (s *site) convert(p *page, source []byte) error {
	md := goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	ctx := parser.NewContext(parser.WithIDs(&ids{given: map[string]int{}}))
	doc := md.Parser().Parse(text.NewReader(source), parser.WithContext(ctx))
	var html []ast.Node
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			p.head(n, source)
		case *ast.Link:
			to, err := s.resolve(p, string(n.Destination))
			n.Destination = []byte(to)
			return ast.WalkContinue, err
		case *ast.Image:
			to, err := s.resolve(p, string(n.Destination))
			n.Destination = []byte(to)
			return ast.WalkContinue, err
		case *ast.HTMLBlock:
			html = append(html, n)
			return ast.WalkSkipChildren, commentOnly(linesOf(n, source))
		case *ast.RawHTML:
			return ast.WalkContinue, fmt.Errorf("it has HTML inside a line: %s", n.Segments.Value(source))
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return err
	}
	for _, n := range html { // comments are for who edits
		n.Parent().RemoveChild(n.Parent(), n)
	}
	var b bytes.Buffer
	if err := md.Renderer().Render(&b, source, doc); err != nil {
		return err
	}
	p.body = b.Bytes()
	if p.title == "" {
		return fmt.Errorf("it has no heading")
	}
	return nil
}

// head notes a heading: the first is the page's title.
func (p *page) head(n *ast.Heading, source []byte) {
	title := plain(n, source)
	id, _ := n.AttributeString("id")
	name, _ := id.([]byte)
	switch {
	case p.title == "":
		p.title = title
	case n.Level == 2:
		p.parts = append(p.parts, part{string(name), title})
	}
}

// plain is the text of a heading without marks.
func plain(n ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		switch n := n.(type) {
		case *ast.Text:
			if entering {
				b.Write(n.Segment.Value(source))
			}
		case *ast.String:
			if entering {
				b.Write(n.Value)
			}
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

func linesOf(n *ast.HTMLBlock, source []byte) string {
	var b strings.Builder
	for i := range n.Lines().Len() {
		at := n.Lines().At(i)
		b.Write(at.Value(source))
	}
	if n.HasClosure() {
		b.Write(n.ClosureLine.Value(source))
	}
	return b.String()
}

var comment = regexp.MustCompile(`(?s)<!--.*?-->`)

// commentOnly is an error for other HTML than comments: what a page has is Markdown.
func commentOnly(html string) error {
	if rest := strings.TrimSpace(comment.ReplaceAllString(html, "")); rest != "" {
		return fmt.Errorf("it has HTML: %s", rest)
	}
	return nil
}

// resolve makes of a link in the repository one in the site, relative to the page, and takes what
// is no page along as it is.
func (s *site) resolve(p *page, to string) (string, error) {
	if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") || strings.HasPrefix(to, "#") {
		return to, nil
	}
	name, anchor, found := strings.Cut(to, "#")
	if found {
		anchor = "#" + anchor
	}
	name = path.Join(path.Dir(p.source), name)
	if other := s.pages[name]; other != nil {
		return relative(p.out, other.out) + anchor, nil
	}
	if name == decisions && len(s.lists[name]) > 0 {
		return relative(p.out, name+"/index.html") + anchor, nil
	}
	body, err := fs.ReadFile(s.repo, name)
	if err != nil {
		return "", fmt.Errorf("its link to %s leads nowhere: %w", to, err)
	}
	if path.Ext(name) == ".go" {
		name += ".txt" // a browser shows it, and go does not take it for a package of ours
	}
	s.files[name] = body
	return relative(p.out, name) + anchor, nil
}

// relative is the way from one file of the site to another.
func relative(from, to string) string {
	for dir := path.Dir(from); dir != "."; dir = path.Dir(dir) {
		if rest, ok := strings.CutPrefix(to, dir+"/"); ok {
			return strings.Repeat("../", strings.Count(path.Dir(from), "/")-strings.Count(dir, "/")) + rest
		}
	}
	if path.Dir(from) == "." {
		return to
	}
	return strings.Repeat("../", strings.Count(from, "/")) + to
}

// ids give headings the anchors that GitHub gives them, so that a link is right in both.
type ids struct{ given map[string]int }

var marks = regexp.MustCompile(`[^\pL\pN _-]`)

func (i *ids) Generate(value []byte, _ ast.NodeKind) []byte {
	name := strings.ReplaceAll(marks.ReplaceAllString(strings.ToLower(string(bytes.TrimSpace(value))), ""), " ", "-")
	n := i.given[name]
	i.given[name] = n + 1
	if n > 0 {
		name = fmt.Sprintf("%s-%d", name, n)
	}
	return []byte(name)
}

func (i *ids) Put(value []byte) { i.given[string(value)]++ }
