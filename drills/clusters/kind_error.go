package clusters

import (
	"fmt"
	"strings"

	"sigs.k8s.io/kind/pkg/exec"
)

// kindError adds what a command that kind ran had to say, which kind leaves out.
func kindError(err error) error {
	run := exec.RunErrorForError(err)
	if run == nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(run.Output)), "\n")
	return fmt.Errorf("%w\n%s", err, strings.Join(lines[max(0, len(lines)-logTail):], "\n"))
}

// logTail is how many lines of a log an error shows.
const logTail = 12
