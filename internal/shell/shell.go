// Package shell writes commands so that a person can paste them.
package shell

import (
	"regexp"
	"strings"
)

var plainWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// Quote a word, where it needs that.
func Quote(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Join a command and its arguments.
func Join(argv ...string) string {
	quoted := make([]string, len(argv))
	for i, word := range argv {
		quoted[i] = Quote(word)
	}
	return strings.Join(quoted, " ")
}
