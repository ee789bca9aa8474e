package dbtest

import (
	"fmt"
	"strconv"
	"strings"
)

// Sums is the state of pgbench's tables: two that are equal are of one state.
type Sums struct {
	Transactions                        int64 // that history has
	Accounts, Branches, Tellers, Deltas int64 // sums of their balances, and of history's deltas
	Rows                                int64 // of all tables
	Digest                              string
}

// sums reads every row of every table. The tables themselves are read, not an index.
const sums = `set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off;
select (select count(*) from pgbench_history),
 (select coalesce(sum(abalance), 0) from pgbench_accounts),
 (select coalesce(sum(bbalance), 0) from pgbench_branches),
 (select coalesce(sum(tbalance), 0) from pgbench_tellers),
 (select coalesce(sum(delta), 0) from pgbench_history),
 (select count(*) from pgbench_accounts) + (select count(*) from pgbench_branches)
  + (select count(*) from pgbench_tellers) + (select count(*) from pgbench_history),
 md5((select string_agg(a::text, ',' order by aid) from pgbench_accounts a)
  || (select string_agg(b::text, ',' order by bid) from pgbench_branches b)
  || (select string_agg(t::text, ',' order by tid) from pgbench_tellers t)
  || coalesce((select string_agg(h::text, ',' order by h::text) from pgbench_history h), ''))`

// Sums reads the state. The server has to run; without load it is that at its stop.
func (p *Postgres) Sums() (s Sums, err error) {
	out, err := p.Query(sums)
	if err != nil {
		return s, err
	}
	f := strings.Split(out, "|")
	if len(f) != 7 {
		return s, fmt.Errorf("psql gave %q", out)
	}
	for i, to := range []*int64{&s.Transactions, &s.Accounts, &s.Branches, &s.Tellers, &s.Deltas, &s.Rows} {
		if *to, err = strconv.ParseInt(f[i], 10, 64); err != nil {
			return s, err
		}
	}
	s.Digest = f[6]
	return s, nil
}

// Balanced says, by a nil error, that no transaction is there by half: each of them adds one
// number to an account, a branch, a teller and the history.
func (s Sums) Balanced() error {
	if s.Accounts != s.Branches || s.Branches != s.Tellers || s.Tellers != s.Deltas {
		return fmt.Errorf("transactions are there by half: %+v", s)
	}
	return nil
}

// Check has PostgreSQL read all of its tables and indexes, with what they say of each other.
func (p *Postgres) Check() error {
	return p.run("pg_amcheck", "--heapallindexed", "--install-missing", "-d", database)
}

// Judge starts the server on the directory as it is, checks all of it, gives its state, and
// stops it again. The error says that it did not start, that what it has is damaged, or that
// no state was like it.
func (p *Postgres) Judge() (s Sums, err error) {
	if err := p.start(); err != nil {
		return s, err
	}
	defer p.Stop()
	if err := p.Check(); err != nil {
		return s, err
	}
	if s, err = p.Sums(); err != nil {
		return s, err
	}
	return s, s.Balanced()
}
