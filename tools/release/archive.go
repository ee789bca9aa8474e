package main

import (
	"archive/tar"
	"archive/zip"
	"cmp"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"
)

// member is a file of an archive.
type member struct {
	name string // with slashes
	file string
	mode fs.FileMode
}

// archives makes one for each platform: coltec, what it puts into containers beside it, and what
// a shell and a reader want.
func (r *release) archives(context.Context) error {
	for _, p := range r.only {
		top := "coltec-" + r.version + "-" + p.String()
		members := r.members(p)
		for i := range members {
			members[i].name = path.Join(top, members[i].name)
		}
		write, name := writeTar, top+".tar.gz"
		if p.os == "windows" {
			write, name = writeZip, top+".zip"
		}
		if err := write(filepath.Join(r.out, name), members, r.time); err != nil {
			return err
		}
	}
	return nil
}

// members are the files of a platform's archive. On Linux the programs of its own architecture
// lie beside coltec; elsewhere those of both, in the folders in which it looks.
func (r *release) members(p platform) []member {
	list := []member{
		{filepath.Base(r.built(p, "coltec")), r.built(p, "coltec"), 0o755},
		{"LICENSE", filepath.Join(r.root, "LICENSE"), 0o644},
		{"README.md", filepath.Join(r.root, "README.md"), 0o644},
		{"licences.txt", r.page("licences.txt"), 0o644},
	}
	for _, name := range []string{"coltec", "coltecd"} {
		for _, shell := range []string{"bash", "zsh", "fish"} {
			list = append(list, member{"completions/" + name + "." + shell, r.page(name + "." + shell), 0o644})
		}
		list = append(list, member{"man/man1/" + name + ".1", r.page(name + ".1"), 0o644})
	}
	for _, q := range r.insides() {
		folder := q.String()
		if p.os == "linux" {
			folder = ""
		}
		if p.os == "linux" && p != q {
			continue
		}
		for _, name := range usual {
			list = append(list, member{path.Join(folder, name), r.built(q, name), 0o755})
		}
	}
	slices.SortFunc(list, func(a, b member) int { return cmp.Compare(a.name, b.name) })
	return list
}

// packFeature makes the archive of the Feature that a registry gets.
func (r *release) packFeature() error {
	entries, err := os.ReadDir(r.featureDir())
	if err != nil {
		return err
	}
	var members []member
	for _, e := range entries {
		mode := fs.FileMode(0o644)
		if filepath.Ext(e.Name()) == ".sh" {
			mode = 0o755
		}
		members = append(members, member{e.Name(), filepath.Join(r.featureDir(), e.Name()), mode})
	}
	return writeTar(filepath.Join(r.out, "devcontainer-feature-coltec.tar.gz"), members, r.time)
}

// writeTar writes members in their order, as root's, of one time.
func writeTar(file string, members []member, at time.Time) error {
	return create(file, func(w io.Writer) error {
		zipped, err := gzip.NewWriterLevel(w, gzip.BestCompression)
		if err != nil {
			return err
		}
		archive := tar.NewWriter(zipped)
		for _, m := range members {
			err := m.copy(func(size int64) (io.Writer, error) {
				return archive, archive.WriteHeader(&tar.Header{Name: m.name, Mode: int64(m.mode), Size: size, ModTime: at, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR})
			})
			if err != nil {
				return err
			}
		}
		if err := archive.Close(); err != nil {
			return err
		}
		return zipped.Close()
	})
}

// writeZip does it for those who have no tar.
func writeZip(file string, members []member, at time.Time) error {
	return create(file, func(w io.Writer) error {
		archive := zip.NewWriter(w)
		for _, m := range members {
			err := m.copy(func(int64) (io.Writer, error) {
				h := &zip.FileHeader{Name: m.name, Method: zip.Deflate, Modified: at}
				h.SetMode(m.mode)
				return archive.CreateHeader(h)
			})
			if err != nil {
				return err
			}
		}
		return archive.Close()
	})
}

// copy copies the content to what begin gives.
func (m member) copy(begin func(size int64) (io.Writer, error)) error {
	f, err := os.Open(m.file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	w, err := begin(info.Size())
	if err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}

// create makes a file.
func create(file string, write func(io.Writer) error) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
