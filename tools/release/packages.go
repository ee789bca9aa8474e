package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/apk" // registers itself, as the others do
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

// packages makes those of Debian, of Fedora and its kin, and of Alpine.
func (r *release) packages(context.Context) error {
	for _, p := range r.only {
		if p.os != "linux" {
			continue
		}
		for _, kind := range []string{"deb", "rpm", "apk"} {
			contents, err := r.contents(p, kind)
			if err == nil {
				err = r.pack(r.info(p, kind, contents), kind)
			}
			if err == nil && r.tailscale {
				err = r.pack(r.tailscaleInfo(p), kind)
			}
			if err != nil {
				return fmt.Errorf("%s for %s: %w", kind, p, err)
			}
		}
	}
	return nil
}

// info describes the package of the programs.
func (r *release) info(p platform, kind string, contents files.Contents) *nfpm.Info {
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "coltec", Arch: p.arch, Platform: p.os, Version: r.version, MTime: r.time,
		Section: "devel", Priority: "optional", Maintainer: "The Coltec authors <coltec@users.noreply.github.com>",
		Vendor: "Coltec", Homepage: "https://github.com/coltec/coltec", License: "MIT",
		Description: "dev containers whose state follows you through your own bucket\n" +
			"coltec brings workspaces up on a host; coltecd keeps them in a bucket and supervises their services.",
		Overridables: nfpm.Overridables{
			Contents:   contents,
			Recommends: []string{"ca-certificates", "git"},
			Deb:        nfpm.Deb{Compression: "gzip"},
			RPM:        nfpm.RPM{Compression: "gzip", BuildHost: "coltec", Summary: "dev containers whose state follows you through your own bucket"},
		},
	})
	if kind == "apk" {
		info.Recommends = nil // it knows none
	}
	return info
}

// tailscaleInfo describes the package of tailscaled alone, which lies where coltec and coltecd look
// for it. It needs no version of coltec: what it is built from is pinned by its own.
func (r *release) tailscaleInfo(p platform) *nfpm.Info {
	owner := &files.ContentFileInfo{Owner: "root", Group: "root", Mode: 0o755, MTime: r.time}
	return nfpm.WithDefaults(&nfpm.Info{
		Name: "coltec-tailscale", Arch: p.arch, Platform: p.os, Version: r.version, MTime: r.time,
		Section: "devel", Priority: "optional", Maintainer: "The Coltec authors <coltec@users.noreply.github.com>",
		Vendor: "Coltec", Homepage: "https://github.com/coltec/coltec", License: "BSD-3-Clause",
		Description: "tailscaled for workspaces of coltec that join a tailnet",
		Overridables: nfpm.Overridables{
			Contents: files.Contents{
				{Source: r.built(p, "tailscaled"), Destination: lib + "tailscaled", FileInfo: owner},
				{Source: "tailscaled", Destination: lib + "tailscale", Type: files.TypeSymlink, FileInfo: owner},
				{Source: r.page("licences.txt"), Destination: "/usr/share/doc/coltec-tailscale/licences.txt", FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: 0o644, MTime: r.time}},
			},
			Depends: []string{"coltec"},
			Deb:     nfpm.Deb{Compression: "gzip"},
			RPM:     nfpm.RPM{Compression: "gzip", BuildHost: "coltec", Summary: "tailscaled for workspaces of coltec that join a tailnet"},
		},
	})
}

// pack writes a package.
func (r *release) pack(info *nfpm.Info, kind string) error {
	if err := nfpm.PrepareForPackager(info, kind); err != nil {
		return err
	}
	packager, err := nfpm.Get(kind)
	if err != nil {
		return err
	}
	return create(filepath.Join(r.out, packager.ConventionalFileName(info)), func(w io.Writer) error { return packager.Package(info, w) })
}

// lib is where the programs are together: coltec and coltecd look beside themselves for what
// else there is. An rclone of the system stays the one that people call.
const lib = "/usr/lib/coltec/"

// contents are the files of a package.
func (r *release) contents(p platform, kind string) (files.Contents, error) {
	var list files.Contents
	add := func(to, from string, mode fs.FileMode) {
		list = append(list, &files.Content{Source: from, Destination: to, FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: r.time}})
	}
	link := func(to, target string) {
		list = append(list, &files.Content{Source: target, Destination: to, Type: files.TypeSymlink, FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", MTime: r.time}})
	}
	for _, name := range append([]string{"coltec"}, usual...) {
		add(lib+name, r.built(p, name), 0o755)
	}
	for name, program := range map[string]string{"coltec": "coltec", "coltecd": "coltecd", "coltec-daemon": "coltecd"} {
		link("/usr/bin/"+name, "../lib/coltec/"+program)
	}
	zsh := "/usr/share/zsh/site-functions/_"
	if kind == "deb" {
		zsh = "/usr/share/zsh/vendor-completions/_"
	}
	for _, name := range []string{"coltec", "coltecd"} {
		add("/usr/share/bash-completion/completions/"+name, r.page(name+".bash"), 0o644)
		add(zsh+name, r.page(name+".zsh"), 0o644)
		add("/usr/share/fish/vendor_completions.d/"+name+".fish", r.page(name+".fish"), 0o644)
		page, err := r.zipped(name + ".1")
		if err != nil {
			return nil, err
		}
		add("/usr/share/man/man1/"+name+".1.gz", page, 0o644)
	}
	add("/usr/share/doc/coltec/copyright", filepath.Join(r.root, "LICENSE"), 0o644)
	add("/usr/share/doc/coltec/licences.txt", r.page("licences.txt"), 0o644)
	return list, nil
}

// zipped is a manual page as packages have it.
func (r *release) zipped(name string) (string, error) {
	text, err := os.ReadFile(r.page(name))
	if err != nil {
		return "", err
	}
	file := r.page(name) + ".gz"
	return file, create(file, func(w io.Writer) error {
		z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := z.Write(text); err != nil {
			return err
		}
		return z.Close()
	})
}
