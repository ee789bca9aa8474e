package hint

import "strconv"

// Count is a number of things for people, which are called otherwise where there is one: 1 path,
// 2 paths; 1 change is, 2 changes are.
func Count[N int | int64](n N, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(int64(n), 10) + " " + more
}
