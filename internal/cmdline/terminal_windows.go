package cmdline

import (
	"os"

	"golang.org/x/sys/windows"
)

// columns is how many cells a line of a console has; 0: f is none.
func columns(f *os.File) int {
	var info windows.ConsoleScreenBufferInfo
	if err := windows.GetConsoleScreenBufferInfo(windows.Handle(f.Fd()), &info); err != nil {
		return 0
	}
	return int(info.Window.Right-info.Window.Left) + 1
}

// lines is how many lines a console shows; 0: f is none.
func lines(f *os.File) int {
	var info windows.ConsoleScreenBufferInfo
	if err := windows.GetConsoleScreenBufferInfo(windows.Handle(f.Fd()), &info); err != nil {
		return 0
	}
	return int(info.Window.Bottom-info.Window.Top) + 1
}

// foreground reports whether this process may read the console f: there each may.
func foreground(f *os.File) bool { return isTerminal(f) }

// isTerminal reports whether f is one.
func isTerminal(f *os.File) bool {
	var mode uint32
	return windows.GetConsoleMode(windows.Handle(f.Fd()), &mode) == nil
}
