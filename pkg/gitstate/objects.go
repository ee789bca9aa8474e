package gitstate

import (
	"bufio"
	"errors"
	"os"
	"strings"
)

// isOID says whether a text is the name of an object.
func isOID(text string) bool {
	if len(text) != 40 && len(text) != 64 {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) })
}

func widthOf(format string) int {
	if format == "sha256" {
		return 32
	}
	return 20
}

// staged file lists of objects.
type objectList struct {
	f *os.File
	w *bufio.Writer
	n int
}

func (k *Keeper) newList(file string) (*objectList, error) {
	if err := k.area().Remove(file); err != nil {
		return nil, err
	}
	f, err := k.area().Create(file)
	if err != nil {
		return nil, err
	}
	return &objectList{f: f, w: bufio.NewWriterSize(f, 64<<10)}, nil
}

func (l *objectList) add(line string) error {
	l.n++
	_, err := l.w.WriteString(line + "\n")
	return err
}

func (l *objectList) close() error { return errors.Join(l.w.Flush(), l.f.Close()) }

// named lists the objects that a file names.
func named(file string, width int) ([]string, error) {
	f, err := openFile(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	scan := bufio.NewScanner(f)
	scan.Buffer(make([]byte, 0, 64<<10), 1<<20)
	scan.Split(splitWords)
	for scan.Scan() {
		if word := scan.Text(); len(word) == 2*width && isOID(word) && strings.Trim(word, "0") != "" {
			out = append(out, word)
		}
	}
	if errors.Is(scan.Err(), bufio.ErrTooLong) {
		return out, nil // a file of another kind
	}
	return out, scan.Err()
}

// splitWords cuts at everything that is not a letter and no digit.
func splitWords(data []byte, atEOF bool) (advance int, token []byte, err error) {
	word := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	start := 0
	for start < len(data) && !word(data[start]) {
		start++
	}
	for i := start; i < len(data); i++ {
		if !word(data[i]) {
			return i, data[start:i], nil
		}
	}
	if atEOF && start < len(data) {
		return len(data), data[start:], nil
	}
	return start, nil, nil
}
