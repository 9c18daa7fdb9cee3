package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/progress"
	"github.com/restore-drill/restore-drill/reports"
)

// defaultRuns is where run directories lie that nobody named.
const defaultRuns = "drill-runs"

// A batch is the drills of one run. Several have a report of them all; one that runs alone needs none.
type batch struct {
	*app
	drills    []*drills.Loaded
	provider  clusters.Provider
	display   *progress.Display
	output    string
	parallel  int
	announced announcements

	// dirs are the drills' run directories. That of several together is out, and theirs are in it, by name.
	dirs []string
	out  string
}

func (b *batch) several() bool { return len(b.drills) > 1 }

// place gives each drill its run directory, dated ones by default. It tells all that is wrong with them before the first drill runs.
func (b *batch) place(out string) error {
	dated := time.Now().Format("20060102-150405")
	if !b.several() {
		if out == "" {
			out = filepath.Join(defaultRuns, dated+"-"+b.drills[0].Scenario.Metadata.Name)
		}
		b.dirs = []string{out}
		return evidence.Free(out)
	}
	if out == "" {
		out = filepath.Join(defaultRuns, dated)
	}
	b.out = out
	errs := []error{evidence.Free(out)}
	for _, l := range b.drills {
		name := l.Scenario.Metadata.Name
		dir := filepath.Join(out, name)
		if slices.Contains(b.dirs, dir) {
			errs = append(errs, fmt.Errorf("two drills are named %s: their reports would meet in %s", name, dir))
		}
		b.dirs = append(b.dirs, dir)
	}
	return errors.Join(errs...)
}

// run runs the drills. The summary is made of the reports that they left; the error says what else went wrong.
func (b *batch) run(ctx context.Context) (*reports.Summary, error) {
	began := time.Now()
	if b.several() {
		if err := drills.Check(ctx, b.provider, b.drills...); err != nil {
			return reports.Summarize(), err
		}
	}
	errs := drills.Each(ctx, b.drills, b.parallel, func(i int) error { return b.runOne(ctx, i) })
	var left []*reports.Report
	for i, l := range b.drills {
		report, err := reports.Read(b.dirs[i])
		if err != nil {
			if errs[i] != nil {
				err = errs[i]
			}
			spec := l.Scenario.Spec
			report = reports.Missing(reports.Drill{
				Scenario: l.Scenario.Metadata.Name, Provider: b.provider.Name(), Method: spec.Backup.Method, Faults: drills.FaultNames(l.Scenario),
			}, err)
		}
		left = append(left, report)
	}
	summary := reports.Summarize(left...)
	summary.Started, summary.Seconds = began.UTC(), time.Since(began).Seconds()
	summary.Parallel, summary.RunBy = b.parallel, version()
	if b.several() {
		errs = append(errs, b.conclude(summary, left))
	}
	return summary, errors.Join(errs...)
}

func (b *batch) runOne(ctx context.Context, i int) error {
	s := b.drills[i]
	name := ""
	if b.several() {
		name = s.Scenario.Metadata.Name
	}
	shown := b.display.Drill(name)
	defer shown.Done()
	report, err := drills.Run(ctx, drills.Options{
		Scenario: s.Scenario, Text: s.Text, Path: s.Path, Provider: b.provider, Dir: b.dirs[i], Version: version(), Progress: shown.Event,
	})
	if report == nil {
		return fmt.Errorf("drill %s: %w", s.Scenario.Metadata.Name, err)
	}
	files, err := reports.WriteAll(b.dirs[i], report)
	if err != nil {
		return err
	}
	// What is announced can be read already.
	defer b.announced.announce(ctx, report, b.dirs[i])
	return b.display.Print(func() error {
		switch {
		case !b.several() && b.output == "json":
			return reports.WriteJSON(b.stdout, report)
		case !b.several(), b.output != "json" && !report.Declared.AsDeclared:
			return reports.WriteTerminal(b.stdout, report, b.color(), files...)
		}
		return nil
	})
}

// conclude writes the report of all, and prints it.
func (b *batch) conclude(summary *reports.Summary, left []*reports.Report) error {
	files, err := reports.WriteSummary(b.out, summary, left)
	return errors.Join(err, b.display.Print(func() error {
		if b.output == "json" {
			return reports.WriteSummaryJSON(b.stdout, summary)
		}
		return reports.WriteSummaryTerminal(b.stdout, summary, b.color(), files...)
	}))
}

// record appends the drills that left a report to a history.
func (b *batch) record(ctx context.Context, where string) error {
	var (
		all  []reports.Record
		errs []error
	)
	for _, dir := range b.dirs {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			continue // not begun: there is nothing to keep, and the error of the run says why
		}
		records, err := recordsOf(dir)
		if err != nil {
			errs = append(errs, exitError{fmt.Errorf("append to history %s: %w", where, err), exitReporting})
		}
		all = append(all, records...)
	}
	return errors.Join(append(errs, b.app.record(ctx, where, all))...)
}
