#!/usr/bin/env python3
"""Writes a workspace out of a copy of its bucket, without Coltec.

    read_bucket.py BUCKET ORG/PROJECT/ENV OUT [GENERATION]

BUCKET is a directory with the bucket's objects (`rclone copy remote:bucket/prefix
BUCKET`), at the place that path_prefix names. Each replica of the newest
generation, or of GENERATION, is written to OUT/NAME, which must not be there. It needs Python's standard
library and the zstd command, and follows docs/storage.md line by line.

Whoever can write the bucket decides what is in it: no name leads out of OUT, no link is
followed, and what is read is held to the limits that docs/storage.md has.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile


def clean(path):
    """A relative path whose names lead nowhere else; bytes or text."""
    names = os.fsencode(path).split(b"/")
    if b"\0" in os.fsencode(path) or any(n in (b"", b".", b"..") for n in names):
        sys.exit("%r is not a path" % path)
    return path


def read(bucket, key, limit=1 << 26):
    with open(os.path.join(bucket, clean(key)), "rb") as f:
        data = f.read(limit + 1)
    if len(data) > limit:
        sys.exit("%s has more than %d bytes" % (key, limit))
    return data


def unzstd(data, limit):
    with tempfile.TemporaryFile() as packed:
        packed.write(data)
        packed.seek(0)
        run = subprocess.Popen(["zstd", "-dcq", "-M8MB"], stdin=packed, stdout=subprocess.PIPE)
        out = run.stdout.read(limit + 1)
        run.stdout.close()
        if len(out) > limit or run.wait() != 0:
            run.kill()
            sys.exit("a zstd frame is not what it should be")
    return out


def unescape(text):
    """%XX stands for a byte; the rest is UTF-8."""
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda m: bytes([int(m[1], 16)]), text)


def generations(bucket, head):
    """All that the head and its log name, newest last."""
    found = list(head["recent"])
    key, seen = head.get("log"), set()
    while key and key not in seen:
        seen.add(key)
        segment = json.loads(read(bucket, key))
        found = segment["generations"] + found
        key = segment.get("before")
    return found


def prefixes(bucket, workspace):
    """Replica -> its prefix, as the claims say."""
    found = {}
    for top, dirs, files in os.walk(bucket):
        if os.path.basename(top) == ".coltec" and "claim.json" in files:
            claim = json.loads(read(top, "claim.json"))
            if claim["workspace"] == workspace:
                found[claim["replica"]] = os.path.relpath(os.path.dirname(top), bucket)
        dirs[:] = [d for d in dirs if not (os.path.basename(top) == ".coltec" and d in ("o", "m"))]
    return found


def lines(bucket, prefix, key):
    """The header of a manifest, and its rows by path: kind, mode, mtime, size,
    sum, where, link, path; None for a path that is gone."""
    data = read(bucket, prefix + "/.coltec/" + key, 1 << 30)
    text = unzstd(data, (16 << 20) + 1024 * len(data)).split(b"\n")
    header = json.loads(text[0])
    if header.get("format") != 1:
        sys.exit("%s: this reader knows format 1, not %s" % (key, text[0].decode()))
    objects, rows = [], {}
    for line in text[1:]:
        cells = line.split(b"\t")
        if cells[0] == b"o":
            objects.append(cells[1].decode())
        elif cells[0] == b"-":
            rows[unescape(cells[1])] = None
        elif cells[0] in (b"f", b"d", b"l"):
            kind, mode, mtime, size, digest, where, link, _tag, path = cells
            extents = [e.decode().split(":") for e in where.split(b",")] if where else []
            extents = [(objects[int(o)], int(at), int(stored), int(n), codec) for o, at, stored, n, codec, *_sum in extents]
            rows[unescape(path)] = (kind, mode, mtime, size, digest, extents, unescape(link), unescape(path))
        elif line:
            sys.exit("%s: cannot read the row %r" % (key, line))
    return header, rows


def manifest(bucket, prefix, key):
    """The rows of the tree that a manifest names, in order, and what of it was not in
    its newest state then."""
    header, rows = lines(bucket, prefix, key)
    if header.get("base"):
        base, tree = lines(bucket, prefix, header["base"])
        if base.get("base"):
            sys.exit("%s: it differs from %s, which differs from another" % (key, header["base"]))
        rows = {**tree, **rows}
    rows = [rows[path] for path in sorted(rows, key=lambda p: p.replace(b"/", b"\0")) if rows[path]]
    if len(rows) != header["rows"]:
        sys.exit("%s: %d rows, its header says %d" % (key, len(rows), header["rows"]))
    return rows, header.get("older") or {"count": 0, "paths": []}


def content(bucket, prefix, extents, cache):
    """The pieces of a file."""
    for key, at, stored, size, codec in extents:
        name = prefix + "/.coltec/" + key
        if name not in cache:
            cache.clear()  # one object at a time: rows of one object mostly stand together
            cache[name] = read(bucket, name)
        part = cache[name][at:at + stored]
        part = unzstd(part, min(size, 1 << 26)) if codec == "z" else part
        if len(part) != size:
            sys.exit("%s: %d bytes at %d, not %d" % (name, len(part), at, size))
        yield part


def write(bucket, prefix, rows, out):
    cache, dirs = {}, []
    os.makedirs(out)
    out = os.path.realpath(os.fsencode(out))
    for kind, mode, mtime, size, digest, extents, link, path in rows:
        if path.startswith(b".coltec/git/") and not path.endswith(b"/coltec.json"):
            path = path[len(b".coltec/git/"):]  # of a repository: what the tree has there
        elif path.startswith(b".coltec/databases/") and not path.endswith(b"/coltec.json"):
            path, name = path[len(b".coltec/databases/"):].rsplit(b"/", 1)
            if name not in (b"db", b"db-wal") or kind != b"f" or any(n.lower() in (b".git", b".coltec") for n in path.split(b"/")):
                sys.exit("%r is not of a database" % path)
            path += name[len(b"db"):]  # the database, and its log
        elif path.startswith(b".coltec/frozen/") and not path.endswith(b"/coltec.frozen.json"):
            path = path[len(b".coltec/frozen/"):]  # of a directory: what the tree has there
            if path == b"@":
                continue  # the tree itself
            path = path[2:] if path.startswith(b"@/") else path
            if any(n.lower() in (b".git", b".coltec") for n in path.split(b"/")):
                sys.exit("%r is not of a frozen directory" % path)
        elif path.startswith(b".coltec/"):
            continue  # versions that lost their name: part of the generation, placed nowhere
        target = os.path.join(out, clean(path))
        place = target if kind == b"d" else os.path.dirname(target)
        if os.path.realpath(place) != place:
            sys.exit("%r lies below a link" % path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if kind == b"d":
            os.makedirs(target, exist_ok=True)
            dirs.append((target, int(mode, 8) & 0o3777, int(mtime)))
        elif kind == b"l":
            os.symlink(link, target)
            os.utime(target, ns=(int(mtime), int(mtime)), follow_symlinks=False)
        else:
            found = hashlib.sha256()
            with open(target, "xb") as f:
                for part in content(bucket, prefix, extents, cache):
                    found.update(part)
                    f.write(part)
                if f.tell() != int(size) or found.hexdigest() != digest.decode():
                    sys.exit("%r is not what its row says" % path)
            os.chmod(target, int(mode, 8) & 0o777)  # setuid is for who asks for it
            os.utime(target, ns=(int(mtime), int(mtime)))
    for target, mode, mtime in reversed(dirs):
        if mtime:
            os.utime(target, ns=(mtime, mtime))
        os.chmod(target, mode)


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    bucket, workspace, out = sys.argv[1:4]
    head = json.loads(read(bucket, ".coltec/fleet/%s/head.json" % workspace))
    replicas = head["replicas"]
    if len(sys.argv) == 5:
        match = [g for g in generations(bucket, head) if g["generation"] == int(sys.argv[4])]
        if not match:
            sys.exit("generation %s is not kept" % sys.argv[4])
        replicas = match[0]["replicas"]
    where = prefixes(bucket, workspace)
    for name, ref in replicas.items():
        if not ref.get("manifest"):
            print("%s: plain objects at %s" % (name, where[name]))
            continue
        rows, older = manifest(bucket, where[name], ref["manifest"])
        if "/" in clean(name):
            sys.exit("%r is no name" % name)
        write(bucket, where[name], rows, os.path.join(out, name))
        print("%s: %d rows" % (ascii(name), len(rows)))
        for path in older["paths"]:
            print("%s: %s is older than the generation: %s" % (ascii(name), ascii(path["path"]), ascii(path["why"])))


if __name__ == "__main__":
    main()
