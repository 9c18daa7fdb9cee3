package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	_ "gocloud.dev/blob/s3blob" // serves s3://

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/internal/cadence"
	"github.com/restore-drill/restore-drill/reports"
	"github.com/restore-drill/restore-drill/reports/history"
)

// historyVariable names the history that is used when no flag does.
const historyVariable = "RESTORE_DRILL_HISTORY"

func historyFlag(flags *pflag.FlagSet, where *string) {
	flags.StringVar(where, "history", os.Getenv(historyVariable), "directory or bucket of the history, such as ./drill-history or s3://bucket?prefix=drills/ ("+historyVariable+")")
}

func (a *app) historyCommand() *cobra.Command {
	cmd := group("history", "What came out of the drills so far: list, trend, what is overdue, and whether the record was tampered with",
		a.historyListCommand(), a.historyTrendCommand(), a.historyOverdueCommand(), a.historyVerifyCommand(), a.historyAppendCommand())
	cmd.Long = `A history keeps a record of each drill that was run with --history, failed and unknown ones too. It is a directory or a bucket to which is only ever added: each
record holds the digest of the one before it.`
	return cmd
}

// A selection is the records that a command is about.
type selection struct {
	where                      string
	scenario, provider, method string
	verdict, since             string
}

func (s *selection) flags(flags *pflag.FlagSet) {
	historyFlag(flags, &s.where)
	flags.StringVar(&s.scenario, "scenario", "", "only drills of this scenario; * stands for any part of a name")
	flags.StringVar(&s.provider, "provider", "", "only drills on this provider")
	flags.StringVar(&s.method, "method", "", "only drills by this backup method")
	oneOf(flags, &s.verdict, "verdict", "", "only drills with this verdict", "any", "passed", "failed", "unknown")
	flags.StringVar(&s.since, "since", "", "only drills since then: a date such as 2026-10-01, or a time back from now such as 30d")
}

// records that are selected, of a history whose chain holds.
func (s *selection) records(ctx context.Context) ([]reports.Record, error) {
	if _, err := path.Match(s.scenario, ""); err != nil {
		return nil, fmt.Errorf("--scenario %q: %w", s.scenario, err)
	}
	since, err := sinceWhen(s.since)
	if err != nil {
		return nil, err
	}
	chain, err := readHistory(ctx, s.where)
	if err != nil {
		return nil, err
	}
	if err := chain.Err(); err != nil {
		return nil, exitError{advise(err, "history verify"), exitFailed}
	}
	return slices.DeleteFunc(slices.Clone(chain.Records), func(r reports.Record) bool {
		named, _ := path.Match(s.scenario, r.Scenario) // the pattern was tried above
		return s.scenario != "" && !named || s.provider != "" && r.Provider != s.provider || s.method != "" && r.Method != s.method ||
			s.verdict != "any" && r.Verdict.String() != s.verdict || r.Started.Before(since)
	}), nil
}

func sinceWhen(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	back, err := cadence.Period(s)
	if err != nil {
		return time.Time{}, fmt.Errorf("--since %q (want a date such as 2026-10-01, or a time back from now such as 30d or 36h)", s)
	}
	return time.Now().Add(-back), nil
}

func readHistory(ctx context.Context, where string) (*history.Chain, error) {
	h, err := openHistory(ctx, where, false)
	if err != nil {
		return nil, err
	}
	chain, err := h.Read(ctx)
	if err := errors.Join(err, h.Close()); err != nil {
		return nil, exitError{err, exitFailed}
	}
	return chain, nil
}

func openHistory(ctx context.Context, where string, create bool) (*history.History, error) {
	if where == "" {
		return nil, fmt.Errorf("no history is named: use --history, or set %s", historyVariable)
	}
	return history.Open(ctx, where, create)
}

func (a *app) historyListCommand() *cobra.Command {
	var s selection
	l := &listing{app: a}
	cmd := &cobra.Command{
		Use: "list", Short: "List the drills of a history, oldest first", Args: cobra.NoArgs,
		Example: "  restore-drill history list --history ./drill-history --verdict failed --since 90d\n  restore-drill history list --scenario 'velero-*' -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			records, err := s.records(cmd.Context())
			if err != nil {
				return err
			}
			measured := func(name string) func(reports.Record) string {
				return func(r reports.Record) string {
					if o := r.Figure(name); o != nil && o.Measured != nil {
						return reports.Figure(o.Unit, *o.Measured)
					}
					return "-"
				}
			}
			return list(l, records,
				column[reports.Record]{title: "NO", cell: func(r reports.Record) string { return fmt.Sprint(r.Sequence) }},
				column[reports.Record]{title: "STARTED", cell: func(r reports.Record) string { return r.Started.UTC().Format("2006-01-02 15:04") }},
				column[reports.Record]{title: "SCENARIO", cell: func(r reports.Record) string { return r.Scenario }},
				column[reports.Record]{title: "VERDICT", cell: func(r reports.Record) string { return r.Verdict.String() }},
				column[reports.Record]{title: "RTO", cell: measured("rto")},
				column[reports.Record]{title: "RPO", cell: measured("rpo")},
				column[reports.Record]{title: "LOST", cell: measured("lost writes")},
				column[reports.Record]{title: "FIDELITY", cell: measured("fidelity")},
				column[reports.Record]{title: "AS DECLARED", wide: true, cell: func(r reports.Record) string { return map[bool]string{true: "yes", false: "no"}[r.AsDeclared] }},
				column[reports.Record]{title: "PROVIDER", wide: true, cell: func(r reports.Record) string { return r.Provider }},
				column[reports.Record]{title: "METHOD", wide: true, cell: func(r reports.Record) string { return strings.Join(append([]string{r.Method}, r.Layers...), "+") }},
				column[reports.Record]{title: "DRILL", wide: true, cell: func(r reports.Record) string { return r.Drill }},
				column[reports.Record]{title: "SCENARIO FILE", wide: true, cell: func(r reports.Record) string { return r.ScenarioSHA256[:min(12, len(r.ScenarioSHA256))] }},
				column[reports.Record]{title: "REPORT", wide: true, cell: func(r reports.Record) string { return r.Report[:min(12, len(r.Report))] }},
			)
		},
	}
	s.flags(cmd.Flags())
	l.flag(cmd.Flags())
	return cmd
}

func (a *app) historyTrendCommand() *cobra.Command {
	var (
		s            selection
		format, file string
	)
	cmd := &cobra.Command{
		Use: "trend", Short: "Show how RTO, RPO, lost writes and fidelity went, against their objectives", Args: cobra.NoArgs,
		Long: `Show for each scenario, provider and method the verdicts of its drills and each figure over time: on the terminal as a line of bars, as html with charts and the
table behind them. What was not measured is a dot, never a bar.`,
		Example: "  restore-drill history trend --scenario etcd-data-lost\n  restore-drill history trend --since 90d --format html -o trend.html",
		RunE: func(cmd *cobra.Command, _ []string) error {
			records, err := s.records(cmd.Context())
			if err != nil {
				return err
			}
			if len(records) == 0 {
				return exitError{errors.New("no drill of the history is selected: there is no trend"), exitFailed}
			}
			return a.deliver(file, func(w io.Writer) error {
				if format == "html" {
					return reports.WriteTrendHTML(w, reports.SeriesOf(records), time.Now())
				}
				return reports.WriteTrend(w, reports.SeriesOf(records), file == "" && a.color())
			})
		},
	}
	s.flags(cmd.Flags())
	oneOf(cmd.Flags(), &format, "format", "", "what to render", "text", "html")
	cmd.Flags().StringVarP(&file, "output", "o", "", "file to write; without it, stdout")
	return cmd
}

func (a *app) historyOverdueCommand() *cobra.Command {
	var where, provider string
	l := &listing{app: a}
	cmd := &cobra.Command{
		Use: "overdue [all|NAME|FILE...]", Short: "Say which scenarios are to be rehearsed again, by the cadence that they declare",
		Long: `Compare the cadence of each scenario (spec.cadence) with its newest drill that came out as declared. A drill that failed otherwise, or could not tell, keeps no
cadence. Without names these are the scenarios of the history, by their newest record; a scenario that is named and was never run is overdue.

Exit code: 0 none is overdue, 1 one is, or the history is broken, 64 usage, or no scenario declares a cadence.`,
		Example: "  restore-drill history overdue\n  restore-drill history overdue ./scenarios/*.yaml --history s3://bucket?prefix=drills/",
		RunE: func(cmd *cobra.Command, args []string) error {
			s := selection{where: where, provider: provider, verdict: "any"}
			records, err := s.records(cmd.Context())
			if err != nil {
				return err
			}
			declared := map[string]string{}
			if len(args) > 0 {
				loaded, err := drills.LoadAll(args)
				if err != nil {
					return err
				}
				for _, d := range loaded {
					declared[d.Scenario.Metadata.Name] = d.Scenario.Spec.Cadence
				}
				records = slices.DeleteFunc(records, func(r reports.Record) bool { _, named := declared[r.Scenario]; return !named })
			}
			now := time.Now()
			dues, err := reports.Dues(records, declared, now)
			if err != nil {
				return err
			}
			if len(dues) == 0 {
				return advise(errors.New("no scenario declares a cadence: nothing can be overdue"), "explain spec.cadence")
			}
			overdue := 0
			for _, d := range dues {
				if d.Overdue {
					overdue++
				}
			}
			if err := list(l, dues,
				column[reports.Due]{title: "SCENARIO", cell: func(d reports.Due) string { return d.Scenario }},
				column[reports.Due]{title: "CADENCE", cell: func(d reports.Due) string { return d.Cadence }},
				column[reports.Due]{title: "STATE", cell: func(d reports.Due) string { return d.State(now) }},
				column[reports.Due]{title: "LAST KEPT", cell: func(d reports.Due) string { return dayOf(d.Kept) }},
				column[reports.Due]{title: "NEWEST", cell: func(d reports.Due) string {
					if d.Newest == nil {
						return "-"
					}
					return d.Newest.String()
				}},
				column[reports.Due]{title: "DUE", wide: true, cell: func(d reports.Due) string { return dayOf(d.Due) }},
			); err != nil {
				return err
			}
			if overdue > 0 {
				return exitError{advise(fmt.Errorf("%d of %d scenarios with a cadence are overdue", overdue, len(dues)), "run "+dues[0].Scenario), exitFailed}
			}
			return nil
		},
	}
	historyFlag(cmd.Flags(), &where)
	cmd.Flags().StringVar(&provider, "provider", "", "only drills on this provider count")
	l.flag(cmd.Flags())
	return cmd
}

func dayOf(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.UTC().Format(time.DateOnly)
}

func (a *app) historyVerifyCommand() *cobra.Command {
	var where, holds string
	cmd := &cobra.Command{
		Use: "verify", Short: "Check every record of a history, and the chain that links them", Args: cobra.NoArgs,
		Long: `Read every record, and tell each that was edited, is torn or missing, and each that does not link to the one before it. The last line is the digest of the newest record.
Who may write to the history can take away the newest records, or write a whole new one: note that digest elsewhere, and ask later with --holds whether the
history still has it.

Exit code: 0 the chain holds, 1 it does not.`,
		Example: "  restore-drill history verify\n  restore-drill history verify --holds 90ce3d4790ce3d4790ce3d4790ce3d4790ce3d4790ce3d4790ce3d4790ce3d47",
		RunE: func(cmd *cobra.Command, _ []string) error {
			chain, err := readHistory(cmd.Context(), where)
			if err != nil {
				return err
			}
			for _, s := range chain.Strays {
				fmt.Fprintf(a.stdout, "no record: %q\n", s)
			}
			for _, b := range chain.Breaks {
				fmt.Fprintf(a.stdout, "broken: %s\n", b)
			}
			if len(chain.Breaks) > 0 {
				return exitError{advise(fmt.Errorf("%w in %d places", history.ErrBroken, len(chain.Breaks)), "history verify --help"), exitFailed}
			}
			if holds != "" && !chain.Holds(strings.ToLower(holds)) {
				return exitError{advise(fmt.Errorf("%w: no record of it has the digest %s: records were taken away, or all were written anew", history.ErrBroken, holds), "history verify --help"), exitFailed}
			}
			_, err = fmt.Fprintf(a.stdout, "%d records, each as it was appended\n%s\n", len(chain.Records), cmp.Or(chain.Head(), "no record yet"))
			return err
		},
	}
	historyFlag(cmd.Flags(), &where)
	cmd.Flags().StringVar(&holds, "holds", "", "the SHA-256 of a record that the history has to hold")
	return cmd
}

func (a *app) historyAppendCommand() *cobra.Command {
	var where, bundle string
	cmd := &cobra.Command{
		Use: "append DIR", Short: "Append the report of a run directory, or of each drill of several, to a history", Args: cobra.ExactArgs(1),
		Long: `Append what the reports in a directory say. "run --history" does so by itself; this is for a drill that ran elsewhere, or whose history could not be reached. A report that the
history has already is not appended again; one that was judged anew, with another outcome, is a record of its own.

Exit code: 0 the history has them all, 3 it could not be appended to, 64 usage or no report that can be read.`,
		Example: "  restore-drill history append drills-of-today/etcd-data-lost --bundle restore-drill-20261120-093000-7f3a.tar.gz",
		RunE: func(cmd *cobra.Command, args []string) error {
			records, err := recordsOf(args[0])
			if err != nil {
				return err
			}
			if bundle != "" {
				if len(records) != 1 {
					return fmt.Errorf("--bundle is of one drill, and %s holds %d", args[0], len(records))
				}
				b, err := os.ReadFile(bundle)
				if err != nil {
					return fmt.Errorf("read the bundle: %w", err)
				}
				records[0].Bundle = reports.Digest(b)
			}
			return a.record(cmd.Context(), where, records)
		},
	}
	historyFlag(cmd.Flags(), &where)
	cmd.Flags().StringVar(&bundle, "bundle", "", "the drill's evidence bundle, of which the record keeps the digest")
	return cmd
}

// recordsOf the reports of a directory. A drill that left none has no record.
func recordsOf(dir string) (all []reports.Record, err error) {
	set, err := reports.Open(dir)
	if err != nil {
		return nil, err
	}
	for _, r := range set.Reports {
		if r.Drill.ID == "" {
			continue
		}
		file := dir
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			file = filepath.Join(dir, "report.json")
			if set.Summary != nil {
				file = filepath.Join(dir, r.Drill.Scenario, "report.json")
			}
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read report: %w", err)
		}
		all = append(all, reports.NewRecord(r, reports.Digest(b)))
	}
	return all, nil
}

// recordTimeout bounds how long a history may take for the drills of one run.
const recordTimeout = 2 * time.Minute

// record appends what the history does not have yet, and says on stderr what it is called there. The error ends the program with exitReporting.
func (a *app) record(ctx context.Context, where string, records []reports.Record) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	h, err := openHistory(ctx, where, true)
	if err != nil {
		return exitError{err, exitReporting}
	}
	defer h.Close()
	known, err := h.Read(ctx)
	for _, r := range records {
		if err == nil && slices.ContainsFunc(known.Records, func(k reports.Record) bool { return k.Drill == r.Drill && k.Report == r.Report && k.Bundle == r.Bundle }) {
			fmt.Fprintf(a.stderr, "drill %s is in the history already\n", r.Drill)
			continue
		}
		if err == nil {
			r, err = h.Append(ctx, r)
		}
		if err == nil {
			fmt.Fprintf(a.stderr, "record %d of the history: %s %s\n", r.Sequence, r.Scenario, r.Verdict)
		}
	}
	if err != nil {
		return exitError{advise(err, "history append DIR --history "+where), exitReporting}
	}
	return nil
}
