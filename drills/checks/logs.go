package checks

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

// logLines of each component that an error names.
const logLines = 20

// logs are the last lines of the components that the timeline's errors name, and the errors that a backup tool wrote of an operation that it did not
// complete.
func (run *Run) logs() (all []reports.LogExcerpt) {
	files, err := filepath.Glob(filepath.Join(run.Dir, evidence.LogsDir, "*", "*.log"))
	if err != nil {
		return nil
	}
	slices.Sort(files)
	for _, file := range files {
		where, component := filepath.Base(filepath.Dir(file)), strings.TrimSuffix(filepath.Base(file), ".log")
		var lines []string
		switch {
		case run.blamed(where, component):
			lines = tail(file, logLines, nil)
		case run.incomplete(where, component):
			lines = tail(file, logLines, errorLine)
		}
		if len(lines) > 0 {
			all = append(all, reports.LogExcerpt{Component: where + "/" + component, Lines: lines})
		}
	}
	return all
}

// blamed tells whether an error names the component, and not as one of the other cluster.
func (run *Run) blamed(cluster, component string) bool {
	other := map[string]string{source: restored, restored: source}[cluster]
	for _, e := range run.Events {
		if strings.Contains(e.Error, component) && (strings.Contains(e.Error, cluster+" cluster") || other == "" || !strings.Contains(e.Error, other+" cluster")) {
			return true
		}
	}
	return false
}

// incomplete tells whether the log is the tool's own of a sort of operation, as restore-NAME, that it did not complete by its own word.
func (run *Run) incomplete(method, component string) bool {
	for _, e := range run.Events {
		if e.Kind == evidence.Claim && e.Detail != evidence.Completed && strings.HasPrefix(component, e.Name+"-") &&
			method == cmp.Or(e.Layer, run.Scenario.Spec.Backup.Method) {
			return true
		}
	}
	return false
}

// errorLine is what logrus and klog write of an error.
var errorLine = regexp.MustCompile(`\blevel=(?:error|fatal|panic)\b|^[EF]\d{4} `)

// maxLog is how much of the end of a log is looked at.
const maxLog = 4 << 20

// tail returns the last n lines of a file that match, and all may for a nil pattern.
func tail(file string, n int, match *regexp.Regexp) []string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	buffer := make([]byte, min(info.Size(), maxLog))
	if _, err := f.ReadAt(buffer, info.Size()-int64(len(buffer))); err != nil {
		return nil
	}
	var lines []string
	for _, line := range slices.Backward(strings.Split(strings.TrimRight(strings.ToValidUTF8(string(buffer), "?"), "\n"), "\n")) {
		if len(lines) == n {
			break
		}
		if line != "" && (match == nil || match.MatchString(line)) {
			lines = append(lines, line)
		}
	}
	slices.Reverse(lines)
	return lines
}
