package process

import (
	"io"
	"os"
	"syscall"
	"time"

	"github.com/coltec/coltec/pkg/terminal"
)

// openScreen opens a terminal as all standard files of a child. printed is the end of it from
// which is read what the child draws, whoever wants that: else a child that draws much would
// stand still.
func openScreen(_, _ bool, cred *syscall.Credential) (s stdio, printed *os.File, err error) {
	host, program, err := terminal.Open()
	if err != nil {
		return stdio{}, nil, err
	}
	if cred != nil {
		_ = program.Chown(int(cred.Uid), int(cred.Gid)) // or it could not open /dev/tty
	}
	return stdio{in: program, out: program, own: []*os.File{program}}, host, nil
}

// answerTime is how long an answer to a child's question of its terminal may take: one that reads
// nothing does not get it.
const answerTime = time.Second

// show carries what a child draws to the sink, as lines of text, until nobody has the terminal
// or Reap's deadline.
func (o *outlet) show(out io.Writer) {
	defer close(o.pumped)
	defer o.out.Close()
	if out == nil {
		out = io.Discard
	}
	screen := terminal.NewScreen(out, typist{o.out})
	defer screen.Flush()
	_, _ = io.Copy(screen, o.out) // EIO is the end of it
}

// typist writes to a terminal what is typed there.
type typist struct{ to *os.File }

func (t typist) Write(p []byte) (int, error) {
	if err := t.to.SetWriteDeadline(time.Now().Add(answerTime)); err != nil {
		return 0, err
	}
	return t.to.Write(p)
}
