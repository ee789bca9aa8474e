"""Programs that keep databases as others do, and a judge of what became of them: all by the
real SQLite.

    write JOB   transactions until TERM; JOB is JSON, see below
    judge       for each path on standard input a line of JSON: what the database is

A ledger has accounts whose balances are 0 together. Each transaction has a number n, writes it
into some accounts (or all of them), and adds a row with its number, the sum of id * n over all
accounts, and a hash that goes on from the hash before. So a page that is of another moment than
the rest shows, and so does a whole that is another's.

A job: journal (a directory outside of what is kept), databases (one, or two that one connection
has attached), mode (of the journal), checkpoint (pages of the log after which it is brought in),
sync (PRAGMA synchronous), rows (accounts), rate (transactions a second); and each so many
transactions: big (all accounts), vacuum, reopen (the last connection closes), switch (another
mode); spill (a cache of a few pages, so that what is not committed is on the disk).

A line of a journal is "b N TIME" before transaction N changes anything, and "a N TIME HASH TOOK
KIND" after it was committed; times are nanoseconds of the monotonic clock.
"""
import json, os, random, signal, sqlite3, sys, time, urllib.parse

KEPT = 200  # rows of transactions that a ledger keeps


class Ledger:
    """One database of a connection."""

    def __init__(self, db, schema, path, journal):
        self.db, self.schema, self.path = db, schema, path
        name = os.path.basename(path)
        self.journal = os.open(os.path.join(journal, name), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(self, *words):
        os.write(self.journal, (" ".join(map(str, words)) + "\n").encode())

    def make(self, rows):
        x = self.schema
        if self.db.execute("SELECT count(*) FROM %s.sqlite_master" % x).fetchone()[0]:
            return
        self.note("b", 0, time.monotonic_ns())
        at = time.monotonic_ns()
        self.db.execute("BEGIN IMMEDIATE")
        self.db.execute("CREATE TABLE %s.accounts(id INTEGER PRIMARY KEY, n INT, balance INT, filler BLOB)" % x)
        self.db.execute("CREATE INDEX %s.by_n ON accounts(n, balance)" % x)
        self.db.execute("CREATE TABLE %s.commits(n INTEGER PRIMARY KEY, s INT, h TEXT, accounts INT)" % x)
        self.db.executemany("INSERT INTO %s.accounts VALUES(?, 0, 0, ?)" % x, ((i, os.urandom(500)) for i in range(1, rows + 1)))
        self.db.execute("INSERT INTO %s.commits VALUES(0, 0, '0', ?)" % x, (rows,))
        self.db.execute("COMMIT")
        self.note("a", 0, time.monotonic_ns(), 0, time.monotonic_ns() - at, "first")

    def begin(self):
        """To be called in a transaction that nobody else can write beside."""
        q = "SELECT n, s, h, accounts FROM %s.commits ORDER BY n DESC LIMIT 1" % self.schema
        self.n, self.s, self.h, self.rows = self.db.execute(q).fetchone()
        self.n += 1
        self.h = "%x" % (hash((self.h, self.n, random.getrandbits(60))) & (2**60 - 1))
        self.note("b", self.n, time.monotonic_ns())

    def change(self, everything):
        x, n = self.schema, self.n
        if everything:
            self.db.execute("UPDATE %s.accounts SET n=?, filler=randomblob(500)" % x, (n,))
            self.s = n * self.rows * (self.rows + 1) // 2
        else:
            for k, i in enumerate(random.sample(range(1, self.rows + 1), 6)):
                (old,) = self.db.execute("SELECT n FROM %s.accounts WHERE id=?" % x, (i,)).fetchone()
                self.s += i * (n - old)
                self.db.execute("UPDATE %s.accounts SET n=?, balance=balance+? WHERE id=?" % x, (n, 1 if k % 2 else -1, i))
        self.db.execute("INSERT INTO %s.commits VALUES(?, ?, ?, ?)" % x, (n, self.s, self.h, self.rows))
        if n % KEPT == 0:
            self.db.execute("DELETE FROM %s.commits WHERE n <= ?" % x, (n - KEPT,))

    def done(self, took, kind):
        self.note("a", self.n, time.monotonic_ns(), self.h, took, kind)


class Writer:
    def __init__(self, job):
        self.job, self.ended, self.turn, self.mode = job, False, 0, job["mode"]
        self.ledgers = []
        signal.signal(signal.SIGTERM, self.end)

    def end(self, *_):
        self.ended = True

    def open(self):
        job, paths = self.job, self.job["databases"]
        self.db = sqlite3.connect(paths[0], timeout=60, isolation_level=None)
        names = ["main"]
        for path in paths[1:]:
            names.append("other")
            self.db.execute("ATTACH ? AS other", (path,))
        for name in names:
            self.db.execute("PRAGMA %s.synchronous=%s" % (name, job["sync"]))
            self.set_mode(name)
            if job.get("spill"):
                self.db.execute("PRAGMA %s.cache_size=5" % name)
        if job.get("checkpoint"):
            self.db.execute("PRAGMA wal_autocheckpoint=%d" % job["checkpoint"])
        for ledger in self.ledgers:
            os.close(ledger.journal)
        self.ledgers = [Ledger(self.db, *pair, job["journal"]) for pair in zip(names, paths)]

    def set_mode(self, name):
        """Some other time, where somebody reads: SQLite does not wait for that."""
        try:
            self.db.execute("PRAGMA %s.journal_mode=%s" % (name, self.mode))
        except sqlite3.OperationalError as e:
            if "locked" not in str(e):
                raise

    def each(self, what):
        return self.job.get(what) and self.turn % self.job[what] == 0

    def transaction(self):
        everything = self.each("big")
        at = time.monotonic_ns()
        self.db.execute("BEGIN IMMEDIATE")
        for ledger in self.ledgers:
            ledger.begin()
        for ledger in self.ledgers:
            ledger.change(everything)
        self.db.execute("COMMIT")
        took = time.monotonic_ns() - at
        for ledger in self.ledgers:
            ledger.done(took, "big" if everything else "small")

    def step(self):
        self.turn += 1
        if self.each("vacuum"):
            self.db.execute("VACUUM")
        if self.each("reopen"):
            self.db.close()
            self.open()
        if self.each("switch"):
            self.mode = "delete" if self.mode == "wal" else "wal"
            self.set_mode("main")
        self.transaction()

    def run(self):
        self.open()
        for ledger in self.ledgers:
            ledger.make(self.job["rows"])
        print("begun", flush=True)
        due = time.monotonic()
        while not self.ended:
            self.step()
            due = max(due + 1 / self.job["rate"], time.monotonic() - 0.2)  # a program that was held up hurries, for a while
            time.sleep(max(0, due - time.monotonic()))
        self.db.close()


def write(job):
    Writer(json.loads(job)).run()


def verdict(path):
    db = None
    try:
        db = sqlite3.connect("file:%s?mode=rw" % urllib.parse.quote(path), timeout=5, uri=True, isolation_level=None)
        found = db.execute("PRAGMA integrity_check(3)").fetchall()
        if found != [("ok",)]:
            return {"wrong": "integrity_check: %s" % found}
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return {"n": -1, "h": ""}
        n, s, h, rows = db.execute("SELECT n, s, h, accounts FROM commits ORDER BY n DESC LIMIT 1").fetchone()
        got = db.execute("SELECT count(*), sum(id*n), sum(balance) FROM accounts").fetchone()
        if got != (rows, s, 0):
            return {"wrong": "after transaction %d the accounts are %s, not %s" % (n, got, (rows, s, 0))}
        first, count = db.execute("SELECT min(n), count(*) FROM commits").fetchone()
        if count != n - first + 1:
            return {"wrong": "it has %d of the transactions %d to %d" % (count, first, n)}
        return {"n": n, "h": h}
    except sqlite3.DatabaseError as e:
        return {"wrong": "%s: %s" % (type(e).__name__, e)}
    finally:
        if db:
            db.close()


def judge():
    for line in iter(sys.stdin.readline, ""):
        print(json.dumps(verdict(line.rstrip("\n"))), flush=True)


globals()[sys.argv[1]](*sys.argv[2:])
