package status

import (
	"bytes"
	"os"
	"path/filepath"
	"time"

	"github.com/coltec/coltec/pkg/wholefile"
)

// FileName is the file in the log directory that coltecd keeps the document in, for
// those who cannot ask it: its time says how old that is.
const FileName = "status.json"

// readLimit bounds what is read of the file: an agent in the container could write it.
const readLimit = 16 << 20

// valuesMost is what a few hundred replicas come to, each with all that is only here.
const valuesMost = 1 << 16

// WrittenAt is when the coltecd of a log directory wrote its document last.
func WrittenAt(logDir string) (time.Time, error) {
	info, err := os.Stat(filepath.Join(logDir, FileName))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// ReadFile reads the document that the coltecd of a log directory wrote last, and
// when it did.
func ReadFile(logDir string) (Document, time.Time, error) {
	var doc Document
	at, err := WrittenAt(logDir) // before it is read: a newer one is read again
	if err != nil {
		return doc, at, err
	}
	b, err := wholefile.Read(filepath.Join(logDir, FileName), readLimit)
	if err == nil {
		doc, err = parse(b)
	}
	return doc, at, err
}

func parse(b []byte) (doc Document, err error) {
	err = wholefile.Unmarshal(b, &doc, valuesMost)
	return doc, err
}

// WriteFile writes a document, as JSON, to a log directory: whole, and over whatever has
// the name.
func WriteFile(logs *os.Root, doc []byte) error {
	return wholefile.WriteIn(logs, FileName, bytes.NewReader(append(doc, '\n')), 0o644, wholefile.Volatile)
}
