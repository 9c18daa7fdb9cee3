package announce

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/prometheus/client_golang/prometheus"
	pushgateway "github.com/prometheus/client_golang/prometheus/push"

	"github.com/restore-drill/restore-drill/reports"
)

// Jobs of the Pushgateway. The last run replaces all that the run before has left, so that no figure of an old run stands beside a new verdict. The
// time of the last success has a job of its own, which only a success replaces.
const (
	jobRun     = "restore-drill"
	jobSuccess = "restore-drill-success"
)

func push(ctx context.Context, address string, r *reports.Report) error {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("push metrics: %w", inner(err))
	}
	user := u.User
	u.User = nil
	for job, metrics := range map[string]prometheus.Gatherer{jobRun: reports.Metrics(r, nil), jobSuccess: reports.SuccessMetrics(r, nil)} {
		if metrics == nil {
			continue
		}
		p := pushgateway.New(u.String(), job).Gatherer(metrics).Client(&http.Client{CheckRedirect: stay})
		for name, value := range reports.MetricLabels(r) {
			p = p.Grouping(name, value)
		}
		if user != nil {
			password, _ := user.Password()
			p = p.BasicAuth(user.Username(), password)
		}
		if err := p.PushContext(ctx); err != nil {
			return fmt.Errorf("push metrics to %s: %w", host(address), inner(err))
		}
	}
	return nil
}

// stay where the request was sent to: what it holds is not for whomever that names.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
