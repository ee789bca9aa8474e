"""Processes that use a database as others do, by the real SQLite, and a judge of what
was copied of it.

    make PATH MODE ROWS      a ledger in a journal mode
    write PATH NOTES KIND TIMEOUT PACE  transactions until standard input ends; prints what they took
    checkpoint PATH EACH     brings the log into the database each so many seconds
    wholes DIR ROWS          databases as they may be found, below DIR/OLD and DIR/NEW: alone, with a log, with a hot journal
    judge                    for each path on standard input "ok N" (N transactions) or why not
    shell PATH TIMEOUT       SQL of each line of standard input; prints the last row, or the error

A ledger has accounts. Each transaction has a number n, changes some accounts and leaves the sum
of their balances; its row in commits has the sum over all accounts of id * n. So a page that is
not of the last transaction shows.
"""
import json, os, random, select, shutil, sqlite3, struct, sys, time


def connect(path, timeout=0.0):
    """A connection that waits for no disk: no power is cut here."""
    db = sqlite3.connect(path, timeout=timeout, isolation_level=None)
    db.execute("PRAGMA synchronous=OFF")
    return db


def make(path, mode, rows):
    db = connect(path)
    db.execute("PRAGMA journal_mode=" + mode)
    db.execute("BEGIN")
    db.execute("CREATE TABLE accounts(id INTEGER PRIMARY KEY, n INT, balance INT, filler BLOB)")
    db.execute("CREATE INDEX by_n ON accounts(n, balance)")
    db.execute("CREATE TABLE commits(n INTEGER PRIMARY KEY, s INT)")
    db.executemany("INSERT INTO accounts VALUES(?, 0, 0, ?)", ((i, os.urandom(600)) for i in range(1, int(rows) + 1)))
    db.execute("INSERT INTO commits VALUES(0, 0)")
    db.execute("COMMIT")
    db.close()


def few(db, n, s, rows):
    ids = random.sample(range(1, rows + 1), 8)
    for k, i in enumerate(ids):
        (old,) = db.execute("SELECT n FROM accounts WHERE id=?", (i,)).fetchone()
        s += i * (n - old)
        db.execute("UPDATE accounts SET n=?, balance=balance+? WHERE id=?", (n, 1 if k % 2 else -1, i))
    return s


def everything(db, n, s, rows):
    db.execute("UPDATE accounts SET n=?", (n,))
    return n * rows * (rows + 1) // 2


def transaction(db, change, rows, note):
    """One transaction by which the number of them is known to have begun, and to be done."""
    db.execute("BEGIN IMMEDIATE")
    n, s = db.execute("SELECT n, s FROM commits ORDER BY n DESC LIMIT 1").fetchone()
    n += 1
    note(0, n)
    s = change(db, n, s, rows)
    db.execute("INSERT INTO commits VALUES(?, ?)", (n, s))
    db.execute("COMMIT")
    note(1, n)


def write(path, notes, kind, timeout, pace):
    fd = os.open(notes, os.O_RDWR | os.O_CREAT)
    note = lambda at, n: os.pwrite(fd, struct.pack("<Q", n), 8 * at)
    kinds = set(kind.split("+"))
    pace = float(pace)

    def begin():
        db = connect(path, float(timeout))
        for k in kinds:
            if k.startswith("checkpoint="):
                db.execute("PRAGMA wal_autocheckpoint=" + k[11:])
        if "durable" in kinds:
            db.execute("PRAGMA synchronous=FULL")
        if "spill" in kinds:
            db.execute("PRAGMA cache_size=5")
        return db

    db = begin()
    (rows,) = db.execute("SELECT count(*) FROM accounts").fetchone()
    print("begun", flush=True)
    took, busy, turn = [], 0, 0
    while not select.select([0], [], [], pace)[0]:
        turn += 1
        at = time.monotonic()
        while True:
            try:
                if "vacuum" in kinds and turn % 10 == 0:
                    db.execute("VACUUM")
                else:
                    transaction(db, everything if "big" in kinds and turn % 5 == 0 else few, rows, note)
                break
            except sqlite3.OperationalError as e:
                if "locked" not in str(e) and "busy" not in str(e):
                    raise
                busy += 1
                if db.in_transaction:
                    db.execute("ROLLBACK")
        took.append(time.monotonic() - at)
        if "reopen" in kinds and turn % 3 == 0:
            db.close()
            db = begin()
    took.sort()
    part = lambda p: took[min(len(took) - 1, int(p * len(took)))] * 1000 if took else 0
    print(json.dumps({"n": len(took), "busy": busy, "p50": part(0.5), "p99": part(0.99), "max": part(1)}), flush=True)


def checkpoint(path, each):
    db = connect(path)
    print("begun", flush=True)
    modes = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"]
    while not select.select([0], [], [], float(each))[0]:
        try:
            db.execute("PRAGMA wal_checkpoint(%s)" % random.choice(modes)).fetchone()
        except sqlite3.OperationalError:
            pass


def wholes(to, rows):
    """As a power cut would leave them: copied between two steps of the only process. OLD has 1
    transaction, or 2 with a log; NEW has 5, or 6."""
    nothing = lambda at, n: None
    for age, times in ("old", 1), ("new", 5):
        for kind, mode in ("alone", "delete"), ("log", "wal"), ("journal", "delete"):
            at = os.path.join(to, age, kind)
            os.makedirs(at)
            path = os.path.join(at, "live.db")
            make(path, mode, rows)
            db = connect(path)
            for _ in range(times):
                transaction(db, few, int(rows), nothing)
            if kind == "log":  # half of it is in the database, and that alone is torn
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                db.execute("PRAGMA wal_autocheckpoint=0")
                reader = connect(path)
                db.execute("DELETE FROM accounts WHERE id > %d" % (int(rows) * 4 // 5))
                db.execute("UPDATE commits SET s=(SELECT sum(id*n) FROM accounts), n=n WHERE n=(SELECT max(n) FROM commits)")
                db.execute("UPDATE accounts SET balance=0")
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM accounts").fetchone()
                (left,) = db.execute("SELECT max(id) FROM accounts").fetchone()
                transaction(db, everything, left, nothing)
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if kind == "journal":
                db.execute("PRAGMA cache_size=5")
                db.execute("BEGIN")
                everything(db, times + 1, 0, int(rows))
            for end in "", "-wal", "-journal":
                if os.path.exists(path + end):
                    shutil.copy(path + end, os.path.join(at, "ledger.db" + end))
            db.close()
            for end in "", "-wal", "-journal", "-shm":
                if os.path.exists(path + end):
                    os.remove(path + end)


def verdict(path):
    db = connect(path, 5)
    try:
        found = db.execute("PRAGMA integrity_check(3)").fetchall()
        if found != [("ok",)]:
            return "integrity_check: %s" % found
        n, s = db.execute("SELECT n, s FROM commits ORDER BY n DESC LIMIT 1").fetchone()
        got = db.execute("SELECT (SELECT count(*) FROM commits), sum(id*n), sum(balance) FROM accounts").fetchone()
        if got != (n + 1, s, 0):
            return "after %d transactions: %s, want %s" % (n, got, (n + 1, s, 0))
        return "ok %d" % n
    except sqlite3.DatabaseError as e:
        return "error: %s" % e
    finally:
        db.close()


def judge():
    for line in iter(sys.stdin.readline, ""):
        print(verdict(line.rstrip("\n")).replace("\n", " "), flush=True)


def shell(path, timeout):
    db = None
    for line in iter(sys.stdin.readline, ""):
        try:
            word = line.strip()
            db = db or word != "hello" and connect(path, float(timeout))
            if word == "hello":
                row = None
            elif word == "close":
                db.close()
                row = None
            elif word in ("few", "everything"):
                (rows,) = db.execute("SELECT count(*) FROM accounts").fetchone()
                own = not db.in_transaction
                n, s = db.execute("SELECT n, s FROM commits ORDER BY n DESC LIMIT 1").fetchone()
                if own:
                    db.execute("BEGIN IMMEDIATE")
                s = globals()[word](db, n + 1, s, rows)
                db.execute("INSERT INTO commits VALUES(?, ?)", (n + 1, s))
                if own:
                    db.execute("COMMIT")
                row = None
            else:
                row = db.execute(word).fetchone()
            print("ok" if row is None else "|".join(map(str, row)), flush=True)
        except sqlite3.Error as e:
            print("error: %s" % e, flush=True)


globals()[sys.argv[1]](*sys.argv[2:])
