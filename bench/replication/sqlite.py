"""A database that is written as programs keep their state: small transactions, at a rate.

    make PATH MB
    write PATH NOTES RATE   until standard input ends; prints how many bytes went into the log
    last PATH               prints the number of the last transaction, or ends with 1
"""
import os, random, select, sqlite3, struct, sys, time

ROW = 1000  # bytes of a message


def connect(path):
    db = sqlite3.connect(path, timeout=60, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    return db


def make(path, mb):
    db = connect(path)
    db.execute("BEGIN")
    db.execute("CREATE TABLE messages(id INTEGER PRIMARY KEY, n INT, body BLOB)")
    db.execute("CREATE TABLE commits(n INTEGER PRIMARY KEY, s INT)")
    rows = int(mb) * 1_000_000 // (ROW + 350)  # three to a page
    db.executemany("INSERT INTO messages VALUES(?, 0, ?)", ((i, os.urandom(ROW)) for i in range(1, rows + 1)))
    db.execute("INSERT INTO commits VALUES(0, 0)")
    db.execute("COMMIT")
    db.close()


def frames(index):
    """How many frames the log has, from the index beside it."""
    return struct.unpack("=I", os.pread(index, 4, 16))[0]


def write(path, notes, rate):
    db = connect(path)
    n, s = db.execute("SELECT n, s FROM commits ORDER BY n DESC LIMIT 1").fetchone()
    (rows,) = db.execute("SELECT count(*) FROM messages").fetchone()
    (page,) = db.execute("PRAGMA page_size").fetchone()
    notes = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    index = os.open(path + "-shm", os.O_RDONLY)  # never closed: with it would go all locks that SQLite has there
    written, before, due = 0, frames(index), time.monotonic()
    while not select.select([0], [], [], max(0, due - time.monotonic()))[0]:
        due += 1 / float(rate)
        n += 1
        i = random.randrange(1, rows + 1)
        db.execute("BEGIN IMMEDIATE")
        (old,) = db.execute("SELECT n FROM messages WHERE id=?", (i,)).fetchone()
        s += i * (n - old)
        db.execute("UPDATE messages SET n=?, body=? WHERE id=?", (n, os.urandom(ROW), i))
        db.execute("INSERT INTO commits VALUES(?, ?)", (n, s))
        db.execute("COMMIT")
        os.write(notes, b"%d %d\n" % (n, time.time_ns()))
        now = frames(index)
        written += now - before if now > before else now  # it began anew
        before = now
    db.close()
    print(written * (page + 24))


def last(path):
    db = sqlite3.connect("file:%s?mode=rw" % path, uri=True)
    if db.execute("PRAGMA integrity_check(1)").fetchall() != [("ok",)]:
        sys.exit("integrity_check")
    n, s = db.execute("SELECT n, s FROM commits ORDER BY n DESC LIMIT 1").fetchone()
    if db.execute("SELECT sum(id*n) FROM messages").fetchone() != (s,):
        sys.exit("it is of several moments")
    print(n)


globals()[sys.argv[1]](*sys.argv[2:])
