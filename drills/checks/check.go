// Package checks judges a drill. A check is a pure function of the run directory and the scenario: it asks no cluster,
// so `restore-drill judge` gives the same answer later and elsewhere.
//
// How verdicts come about:
//
//   - A check whose evidence is missing, empty or torn is unknown. Its Judge is not called.
//   - A phase that failed by the backup tool's own work is a failed drill. When it leaves no restored cluster that was looked at, the
//     checks that judge one are skipped, with that reason; the drill is failed all the same.
//   - A phase that broke for any other reason, or never ended, means that the drill could not tell. What is found wrong in a
//     cluster while something else is breaking proves nothing, so such checks come out unknown, never failed, and never
//     skipped. Trouble that only struck at teardown leaves findings as they are, and still keeps the drill from passing.
//   - The verdict of the drill is the worst of its checks: failed, then unknown, then passed; the phases are one of the checks.
//   - A timeline without its end is a drill that was interrupted. It is unknown, whatever else was found.
//
// Artifacts are described as their own artifact.json describes them; they may have been moved away since, and are not read again.
//
// To add a check, write one file with one Check, add one line to All, and add testdata/NAME.*.txtar: one in which it fails, one in
// which it passes, and one in which it cannot tell.
package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

// A Check judges one question.
type Check struct {
	// Name in reports and in a scenario's expect.checks.
	Name string
	// Title is the question in words.
	Title string
	// IfFailed and IfUnknown say what a person should do about it, where no finding says so itself.
	IfFailed, IfUnknown string
	// Needs are files of the run directory without which nothing was observed: when one is missing, empty or truncated, the
	// verdict is unknown and Judge is not called.
	Needs []string
	// OfRestored checks ask about the restored cluster. Where the tool brought none back they do not apply.
	OfRestored bool
	// Applies says why the check does not apply to this drill; empty when it does. Nil is always.
	Applies func(run *Run) (not string)
	// Judge fills c.Verdict, c.Reason and c.Findings, and the part of the report that the check is about.
	Judge func(run *Run, r *reports.Report, c *reports.Check)
}

// All checks, in the order in which they are judged and reported. One may use what those before it put into the report.
func All() []Check {
	return []Check{phasesCheck, toolCheck, artifactCheck, freshnessCheck, rtoCheck, rpoCheck, ledgerCheck, layersCheck, driftCheck, apisCheck, fidelityCheck, storeCheck, storeHealthCheck, crdsCheck, referencesCheck,
		readinessCheck, machinesCheck, volumesCheck, accessCheck, staleClientsCheck, probesCheck}
}

// judge runs one check over a run directory, whatever is in it.
func (check Check) judge(run *Run, r *reports.Report) reports.Check {
	c := reports.Check{Name: check.Name, Title: check.Title, Evidence: check.Needs}
	broke, refused := run.broke(), run.notRestored()
	if check.Applies != nil {
		if c.Reason = check.Applies(run); c.Reason != "" {
			c.Verdict = reports.Skipped
			return c
		}
	}
	switch {
	case check.OfRestored && broke == "" && refused != "":
		c.Verdict, c.Reason = reports.Skipped, refused
		return c
	case run.lacks(check.Needs) != "":
		c.Reason = run.lacks(check.Needs)
		if check.OfRestored && broke != "" {
			c.Reason = broke + "; " + c.Reason
		}
		c.Next = "run the drill again: what it did not record cannot be judged later. If the run directory was copied, judge the original"
		return c
	}
	protect(&c, func() { check.Judge(run, r, &c) })
	if c.Verdict == reports.Failed && check.OfRestored && broke != "" {
		c.Verdict, c.Reason = reports.Unknown, broke+"; without that: "+c.Reason
	}
	check.advise(&c, broke)
	return c
}

// advise fills in what to do where the check did not pass and its findings do not say it.
func (check Check) advise(c *reports.Check, broke string) {
	about := map[reports.Verdict]string{reports.Failed: check.IfFailed, reports.Unknown: check.IfUnknown}
	if broke != "" {
		about[reports.Unknown] = "put right what broke the drill, and run it again: " + broke
	}
	said := false
	for i := range c.Findings {
		f := &c.Findings[i]
		if f.Next == "" {
			f.Next = about[f.Verdict]
		}
		said = said || f.Next != "" && f.Verdict == c.Verdict
	}
	if !said {
		c.Next = about[c.Verdict]
	}
}

// protect calls judge. A run directory may come from anywhere: what makes a check panic is evidence that cannot be judged.
func protect(c *reports.Check, judge func()) {
	defer func() {
		if r := recover(); r != nil {
			if err, ok := r.(runtime.Error); ok {
				r = err.Error()
			}
			c.Verdict, c.Reason = reports.Unknown, fmt.Sprintf("the evidence cannot be judged: %v", r)
		}
	}()
	judge()
}

// unknown, failed and passed settle a check.
func unknown(c *reports.Check, format string, args ...any) {
	c.Verdict, c.Reason = reports.Unknown, fmt.Sprintf(format, args...)
}

func failed(c *reports.Check, format string, args ...any) {
	c.Verdict, c.Reason = reports.Failed, fmt.Sprintf(format, args...)
}

func passed(c *reports.Check, format string, args ...any) {
	c.Verdict, c.Reason = reports.Passed, fmt.Sprintf(format, args...)
}

func skipped(c *reports.Check, format string, args ...any) {
	c.Verdict, c.Reason = reports.Skipped, fmt.Sprintf(format, args...)
}

// maxFindings of one check that a report lists.
const maxFindings = 50

// find adds a finding, or counts it where there are too many.
func find(c *reports.Check, f reports.Finding) {
	if len(c.Findings) == maxFindings {
		c.Omitted++
		return
	}
	c.Findings = append(c.Findings, f)
}

// unread says why a file is no evidence.
func unread(file string, err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return file + " is missing: nothing was observed"
	case errors.Is(err, evidence.ErrEmpty):
		return file + " is empty: nothing was observed"
	}
	return err.Error()
}

// counted is a number with its noun: 1 write, 2 writes.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
