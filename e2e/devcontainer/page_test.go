package devcontainer

import (
	"os"
	"strings"
	"testing"
)

// page is a document whose bash blocks a test runs, from top to bottom.
type page struct {
	t      *testing.T
	name   string
	blocks []block
}

// block is one fenced block.
type block struct{ section, text string }

func readPage(t *testing.T, path string) *page {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := &page{t: t, name: path}
	section, inside := "", ""
	var text strings.Builder
	for line := range strings.Lines(string(b)) {
		switch {
		case inside != "" && strings.HasPrefix(line, "```"):
			if inside == "bash" {
				p.blocks = append(p.blocks, block{section, text.String()})
			}
			inside = ""
		case inside != "":
			text.WriteString(line)
		case strings.HasPrefix(line, "```"):
			if inside = strings.TrimSpace(strings.TrimPrefix(line, "```")); inside == "" {
				p.t.Fatalf("%s has a block without a language in %q", path, section)
			}
			text.Reset()
		case strings.HasPrefix(line, "## "):
			section = strings.TrimSpace(strings.TrimPrefix(line, "## "))
		}
	}
	return p
}

// next is the first block that was not run yet; it stands in section.
func (p *page) next(section string) string {
	p.t.Helper()
	if len(p.blocks) == 0 || p.blocks[0].section != section {
		p.t.Fatalf("%s has no block in %q here: %+v", p.name, section, p.blocks)
	}
	b := p.blocks[0]
	p.blocks = p.blocks[1:]
	return b.text
}

// end fails when a block was not run.
func (p *page) end() {
	p.t.Helper()
	if len(p.blocks) > 0 {
		p.t.Errorf("%s has blocks that nothing tests: %+v", p.name, p.blocks)
	}
}
