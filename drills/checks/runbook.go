package checks

import (
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

// runbook is the restore as it was carried out: its steps, with the commands that were run in each.
func (run *Run) runbook() (all []reports.RunbookStep) {
	open := func(name string) int {
		for i, s := range slices.Backward(all) {
			if s.End == nil && (name == "" || s.Title == name) {
				return i
			}
		}
		return -1
	}
	for _, e := range run.Events {
		if e.Phase != evidence.PhaseRestore || strings.HasPrefix(e.Name, evidence.StepInject) {
			continue
		}
		switch e.Kind {
		case evidence.StepStarted:
			all = append(all, reports.RunbookStep{Title: e.Name, Detail: e.Detail, Start: e.At.Seconds()})
		case evidence.StepEnded:
			if i := open(e.Name); i >= 0 {
				all[i].End, all[i].Error = seconds(e.At), e.Error
			}
		case evidence.Command:
			i := open(e.Step)
			if i < 0 {
				// Nobody said what it was for.
				all = append(all, reports.RunbookStep{Title: "restore", Start: e.At.Seconds(), End: seconds(e.At)})
				i = len(all) - 1
			}
			all[i].Commands = append(all[i].Commands, reports.Command{Where: e.Name, Command: e.Detail})
		}
	}
	return all
}
