package main

import (
	"github.com/spf13/cobra"

	"github.com/restore-drill/restore-drill/reports"
)

func (a *app) metricsCommand() *cobra.Command {
	show := func(use, short, file string, content []byte) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, Example: "  restore-drill metrics " + use + " > " + file, RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(content)
			return err
		}}
	}
	return group("metrics", "Print alert rules and a dashboard for the metrics of drills",
		show("rules", "Print alert rules for Prometheus", "restore-drill.rules.yaml", reports.MetricsRules),
		show("dashboard", "Print a dashboard for Grafana", "restore-drill.dashboard.json", reports.MetricsDashboard))
}
