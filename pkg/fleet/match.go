package fleet

import "strings"

// Match gives the indexes of the workspaces (org/project/env) that a name means: of the
// ways to mean one, the first by which there is any. A name is the whole, else some of its
// parts one after the other (env, project/env), else, unless it is to be whole, the beginnings
// of such. Several are a question for the person.
func Match(name string, workspaces []string, whole bool) []int {
	name = strings.Trim(name, "/")
	if name == "" {
		return nil
	}
	words := strings.Split(name, "/")
	for _, means := range []func(part, word string) bool{
		func(part, word string) bool { return part == word && len(words) == 3 },
		func(part, word string) bool { return part == word },
		func(part, word string) bool { return !whole && strings.HasPrefix(part, word) },
	} {
		var found []int
		for i, w := range workspaces {
			if within(strings.Split(w, "/"), words, means) {
				found = append(found, i)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// within reports whether words mean parts that follow each other.
func within(parts, words []string, means func(part, word string) bool) bool {
	for at := 0; at+len(words) <= len(parts); at++ {
		i := 0
		for i < len(words) && means(parts[at+i], words[i]) {
			i++
		}
		if i == len(words) {
			return true
		}
	}
	return false
}
