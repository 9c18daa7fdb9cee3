package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/spf13/pflag"

	"github.com/restore-drill/restore-drill/internal/announce"
	"github.com/restore-drill/restore-drill/reports"
)

// Announcements tell others how drills came out, and keep what went wrong with that apart from the drills' own errors.
type announcements struct {
	to announce.To

	mu   sync.Mutex
	errs []error
}

// flags of a command whose drills are announced. Addresses can hold secrets, so those of the environment are no defaults that --help would print.
func (a *announcements) flags(flags *pflag.FlagSet) {
	flags.StringVar(&a.to.MetricsDir, "metrics-dir", "", "directory of node_exporter's textfile collector, for the drills' metrics (RESTORE_DRILL_METRICS_DIR)")
	flags.StringVar(&a.to.Pushgateway, "pushgateway", "", "URL of a Prometheus Pushgateway, for the drills' metrics (RESTORE_DRILL_PUSHGATEWAY)")
	flags.StringVar(&a.to.Webhook, "webhook", "", "URL that a CloudEvent is posted to at the end of each drill (RESTORE_DRILL_WEBHOOK), signed with RESTORE_DRILL_WEBHOOK_SECRET")
}

// settle what the environment adds, and tell what is wrong with it.
func (a *announcements) settle() error {
	for variable, value := range map[string]*string{
		"RESTORE_DRILL_METRICS_DIR": &a.to.MetricsDir, "RESTORE_DRILL_PUSHGATEWAY": &a.to.Pushgateway, "RESTORE_DRILL_WEBHOOK": &a.to.Webhook, "RESTORE_DRILL_WEBHOOK_SECRET": &a.to.WebhookSecret,
	} {
		if *value == "" {
			*value = os.Getenv(variable)
		}
	}
	return a.to.Check()
}

// announce a drill; one that was interrupted too.
func (a *announcements) announce(ctx context.Context, r *reports.Report, dir string) {
	if err := a.to.Announce(context.WithoutCancel(ctx), r, dir); err != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.errs = append(a.errs, fmt.Errorf("announce %s: %w", r.Drill.Scenario, err))
	}
}

// err is what could not be announced.
func (a *announcements) err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return errors.Join(a.errs...)
}
