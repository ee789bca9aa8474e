package rclone

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Object is what a store tells of an object.
type Object struct {
	Key  string // below the remote's root, or the listing's prefix; any bytes
	Size int64
	// MD5 of the content, in hexadecimal; empty where the store knows none
	// (crypt, or an object in parts that another tool wrote).
	MD5 string
	// ModTime is when the object was written, by the store's clock; zero where
	// it was not asked for. S3 tells the second.
	ModTime time.Time
}

// List lists all objects below a prefix, recursively, in no order: one LIST per
// thousand. A prefix without objects is an empty list, as is a missing one: S3
// cannot tell them apart.
func (r *Remote) List(ctx context.Context, prefix string) ([]Object, error) {
	var all []Object
	err := r.ListEach(ctx, prefix, ListOptions{}, func(o Object) error {
		all = append(all, o)
		return nil
	})
	return all, err
}

// ListEach calls f for each object below a prefix as the listing comes in. Keys
// are relative to the prefix. An error of f ends it.
func (r *Remote) ListEach(ctx context.Context, prefix string, lo ListOptions, f func(Object) error) error {
	at := r.At(prefix)
	var rows int64
	err := r.rows(ctx, job{
		op: "list", key: at.root, bulk: true, argv: r.opts.listArgv(at.root, lo), clock: lo.Clock,
	}, lo.ModTime, func(o Object) error {
		rows++
		return f(o)
	})
	r.spend(pages(rows, listPage), 0, 0)
	return err
}

// Stat describes one object: one HEAD. A missing one is [ErrNotFound].
func (r *Remote) Stat(ctx context.Context, key string) (Object, error) {
	found, err := r.StatAll(ctx, []string{key})
	if err == nil && len(found) == 0 {
		err = &Error{Op: "stat", Key: key, Class: NotFound}
	}
	if err != nil {
		return Object{}, about1(err)
	}
	return found[0], nil
}

// StatAll describes those of the objects that are there, in no order: one HEAD
// each.
func (r *Remote) StatAll(ctx context.Context, keys []string) ([]Object, error) {
	about := r.root
	if len(keys) == 1 {
		about = keys[0]
	}
	list, err := keyList("stat", about, keys)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	var found []Object
	err = r.rows(ctx, job{
		op: "stat", key: about, stdin: list, argv: r.opts.statArgv(r.root),
	}, true, func(o Object) error {
		found = append(found, o)
		return nil
	})
	r.spend(len(keys), 0, 0)
	return found, err
}

// rows runs a job whose output is rows.
func (r *Remote) rows(ctx context.Context, j job, modTime bool, f func(Object) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	reader, writer := io.Pipe()
	j.stdout = writer
	read := make(chan error, 1)
	go func() {
		err := readRows(reader, r.opts.columns(modTime), f)
		if err != nil {
			cancel(err)
		}
		// rclone must be able to write on until it is told to end.
		_, _ = io.Copy(io.Discard, reader)
		read <- err
	}()
	_, err := r.run(ctx, j)
	writer.Close()
	if rowErr := <-read; rowErr != nil {
		if !errors.Is(rowErr, errRows) {
			return rowErr // f's own
		}
		if err != nil && ClassOf(err) != Canceled {
			return err // what cut the rows short
		}
		return &Error{Op: j.op, Key: j.key, Exit: -1, Class: Unclassified, cause: rowErr}
	}
	return err
}

// errRows says that rclone printed something else than rows.
var errRows = errors.New("rclone printed no row")

// readRows reads the CSV that [describe] asks for. encoding/csv will not do: it
// takes the carriage return out of a name.
func readRows(r io.Reader, columns string, f func(Object) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		fields, err := readRow(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		o, err := parseRow(fields, columns)
		if err != nil {
			return err
		}
		if err := f(o); err != nil {
			return err
		}
	}
}

// maxRow bounds a row: a path is at most 4 KiB long, and quotes double.
const maxRow = 64 << 10

// readRow reads the fields of one row; io.EOF when there is none.
func readRow(in *bufio.Reader) ([]string, error) {
	var (
		fields []string
		field  strings.Builder
		quoted bool
	)
	for n := 0; ; n++ {
		c, err := in.ReadByte()
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			return nil, io.EOF
		case err != nil:
			return nil, fmt.Errorf("%w: the last one is cut short", errRows)
		case n > maxRow:
			return nil, fmt.Errorf("%w: one is longer than %d bytes", errRows, maxRow)
		case quoted && c == '"':
			// A doubled quote stands for itself, a single one ends the field.
			if next, _ := in.Peek(1); len(next) == 1 && next[0] == '"' {
				_, _ = in.Discard(1)
				field.WriteByte('"')
				continue
			}
			quoted = false
		case quoted:
			field.WriteByte(c)
		case c == '"' && field.Len() == 0:
			quoted = true
		case c == ',':
			fields = append(fields, field.String())
			field.Reset()
		case c == '\n':
			return append(fields, field.String()), nil
		default:
			field.WriteByte(c)
		}
	}
}

// parseRow makes an object of the fields of these columns.
func parseRow(fields []string, columns string) (o Object, err error) {
	if len(fields) != len(columns) {
		return o, fmt.Errorf("%w: %q", errRows, strings.Join(fields, ","))
	}
	for i, field := range fields {
		switch columns[i] {
		case 's':
			o.Size, err = strconv.ParseInt(field, 10, 64)
		case 'h':
			if len(field) == 32 { // else empty, UNSUPPORTED or ERROR
				o.MD5 = field
			}
		case 't':
			o.ModTime, err = time.Parse(rowTime, field)
		case 'p':
			o.Key = decodeKey(field)
		}
		if err != nil {
			return o, fmt.Errorf("%w: %w", errRows, err)
		}
	}
	return o, nil
}
