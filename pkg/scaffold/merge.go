package scaffold

import (
	"bytes"
	"slices"
)

// Merge joins two changes of one text, line by line. Where both changed the same
// or neighbouring lines in different ways, both versions stand between markers,
// and conflicts counts those places. It decides as `git merge-file` does.
func Merge(base, yours, theirs []byte, yoursName, theirsName string) (merged []byte, conflicts int) {
	o, a, b := lines(base), lines(yours), lines(theirs)
	inA, inB := match(o, a), match(o, b)
	var out bytes.Buffer
	i, x, y := 0, 0, 0
	for i < len(o) || x < len(a) || y < len(b) {
		// The next line of base that both kept ends this piece.
		j := i
		for j < len(o) && (inA[j] < 0 || inB[j] < 0) {
			j++
		}
		xe, ye := len(a), len(b)
		if j < len(o) {
			xe, ye = inA[j], inB[j]
		}
		conflicts += piece(&out, o[i:j], a[x:xe], b[y:ye], yoursName, theirsName)
		if j < len(o) {
			out.Write(o[j])
			j, xe, ye = j+1, xe+1, ye+1
		}
		i, x, y = j, xe, ye
	}
	return out.Bytes(), conflicts
}

// piece writes what becomes of one piece, and returns 1 for a conflict.
func piece(out *bytes.Buffer, o, a, b [][]byte, yours, theirs string) int {
	switch {
	case same(a, b), same(o, b):
		write(out, a)
	case same(o, a):
		write(out, b)
	default:
		// What both begin or end with is not a conflict.
		head := 0
		for head < min(len(a), len(b)) && bytes.Equal(a[head], b[head]) {
			head++
		}
		tail := 0
		for tail < min(len(a), len(b))-head && bytes.Equal(a[len(a)-1-tail], b[len(b)-1-tail]) {
			tail++
		}
		write(out, a[:head])
		out.WriteString("<<<<<<< " + yours + "\n")
		writeWhole(out, a[head:len(a)-tail])
		out.WriteString("=======\n")
		writeWhole(out, b[head:len(b)-tail])
		out.WriteString(">>>>>>> " + theirs + "\n")
		write(out, a[len(a)-tail:])
		return 1
	}
	return 0
}

// lines keeps the line ends.
func lines(b []byte) [][]byte {
	if len(b) == 0 {
		return nil
	}
	return slices.Collect(bytes.Lines(b))
}

func same(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

func write(out *bytes.Buffer, list [][]byte) {
	for _, l := range list {
		out.Write(l)
	}
}

// writeWhole ends the last line too, so that a marker begins one.
func writeWhole(out *bytes.Buffer, list [][]byte) {
	write(out, list)
	if n := len(list); n > 0 && !bytes.HasSuffix(list[n-1], []byte("\n")) {
		out.WriteByte('\n')
	}
}

// maxCells bounds the table of match: 64 MiB. Larger differences count as one
// change of all that lies between the common head and tail.
const maxCells = 16 << 20

// match gives for each line of o the line of a that it became, or -1: a longest
// common subsequence.
func match(o, a [][]byte) []int {
	to := make([]int, len(o))
	for i := range to {
		to[i] = -1
	}
	head := 0
	for head < min(len(o), len(a)) && bytes.Equal(o[head], a[head]) {
		to[head] = head
		head++
	}
	n, m := len(o), len(a)
	for n > head && m > head && bytes.Equal(o[n-1], a[m-1]) {
		n, m = n-1, m-1
		to[n] = m
	}
	rows, cols := n-head, m-head
	if rows == 0 || cols == 0 || rows*cols > maxCells {
		return to
	}
	length := make([]int32, (rows+1)*(cols+1)) // of the rest, from row i and column k on
	at := func(i, k int) *int32 { return &length[i*(cols+1)+k] }
	for i := rows - 1; i >= 0; i-- {
		for k := cols - 1; k >= 0; k-- {
			if bytes.Equal(o[head+i], a[head+k]) {
				*at(i, k) = *at(i+1, k+1) + 1
			} else {
				*at(i, k) = max(*at(i+1, k), *at(i, k+1))
			}
		}
	}
	for i, k := 0, 0; i < rows && k < cols; {
		switch {
		case bytes.Equal(o[head+i], a[head+k]):
			to[head+i] = head + k
			i, k = i+1, k+1
		case *at(i+1, k) >= *at(i, k+1):
			i++
		default:
			k++
		}
	}
	return to
}
