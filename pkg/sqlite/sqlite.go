// Package sqlite copies and replaces databases of SQLite that other processes have in use, as
// wholes and without linking SQLite: by the locks and file formats that its authors document
// (sqlite.org/lockingv3.html, walformat.html, fileformat2.html) and promise to keep.
//
// A database is a file that begins "SQLite format 3", with its companions: a log (-wal) or a
// journal (-journal), which are content, and an index of the log (-shm), which is not. Two
// files of two moments open without an error, and are torn. So is a database beside another's
// log: nothing in one says that it is of the other.
//
// # How SQLite keeps its processes apart
//
// With locks of bytes (fcntl) that exclude each other and say nothing else. In the database,
// from 2^30 on: PENDING, RESERVED, and 510 bytes SHARED.
//
//	reads              PENDING for a moment, then SHARED, with others
//	will write         RESERVED: one at a time; others read
//	writes             PENDING, so that nobody comes; then SHARED alone. First the journal
//	                   has what is overwritten; the transaction is done when that is gone
//
// A journal whose writer died (nobody has RESERVED) is hot: whoever comes next undoes the
// transaction. One of a transaction in several databases counts only while their list is there.
//
// With a log every connection has SHARED all the time, and writers write to the log alone,
// behind what others read. In the -shm, from byte 120 on: WRITE, CKPT, RECOVER, READ0 to READ4,
// and one that everybody has who has the -shm open.
//
//	reads              one of READ0 to READ4, with others
//	writes             WRITE. Where all of the log is in the database and nobody has READ1
//	                   to READ4, the log begins anew
//	brings it in       CKPT
//	finds no index     WRITE, CKPT, RECOVER, READ0 to READ4: it is made anew
//	closes as the last SHARED of the database alone; then it brings the log in, whatever is
//	                   locked in the -shm, and removes it
//
// # What a capture locks
//
// All locks are those that readers take, with others; none is waited for; what is not free makes
// the database busy. They are of an open file description: the process's own other uses of the
// file do not lose them.
//
// A log in use: SHARED, the byte of the -shm's users, CKPT and one of READ1 to READ4. Then the
// database stays as it is, and the log only grows: no writer waits, for as long as it takes. Of
// the log so many frames are copied as the -shm said at the beginning, and their checksums are
// summed up. It gives way where the -shm is to be made anew.
//
// No log: SHARED keeps writers from ending their transactions. So a small database is read to
// memory, and a large one cloned where the file system can; each was done before, without the
// lock, so that what the disk has to do is done. Else it is copied without a lock, and counts
// where its times say that nobody wrote from shortly before until its end. A log that nobody
// has in use is copied in the same way.
//
// # What it cannot see
//
// Users that lock otherwise (unix-dotfile, unix-none, nolock, immutable), and files that
// another kernel writes: file systems that are not known to be this kernel's alone are not
// lockable. The copy of a database that is damaged is as damaged: pages are not looked into.
package sqlite
