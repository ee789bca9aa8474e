//go:build !linux

package rclone

import (
	"fmt"
	"io"
	"os"
	"os/exec"
)

// hand gives the name by which a child finds a directory: here no descriptor has one.
func (j *job) hand(dir string) (string, error) { return dir, nil }

// told gives a text of the child's as it is.
func (j *job) told(text string) string { return text }

// finish runs a child to its end.
func finish(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	err := cmd.Wait()
	endGroup(cmd)
	return err
}

// wholeInput returns a file that holds all of the input before the child
// begins: a pipe would end early when we are killed.
func wholeInput(data []byte) (*os.File, error) {
	file, err := os.CreateTemp("", "coltec-input-*")
	if err != nil {
		return nil, fmt.Errorf("cannot make rclone's input: %w", err)
	}
	_ = os.Remove(file.Name()) // Windows keeps it until the machine tidies up
	if _, err = file.Write(data); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("cannot write rclone's input: %w", err)
	}
	return file, nil
}
