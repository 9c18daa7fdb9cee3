// Package announce tells others how a drill came out: a monitoring system by its metrics, a webhook by an event, a tracing backend by spans.
//
// None of it is part of a verdict. Where one of them cannot be told, that is an error of its own, and the others are told all the same.
//
// To tell somebody else, add one file with one function, and a line to Announce.
package announce

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/restore-drill/restore-drill/reports"
)

// DefaultTimeout bounds each announcement, with all that is tried again.
const DefaultTimeout = 30 * time.Second

// To names who is told. The zero value tells nobody but a tracing backend, which OpenTelemetry's own variables name.
type To struct {
	// MetricsDir is where node_exporter's textfile collector looks.
	MetricsDir string
	// Pushgateway is its address. Credentials in it are sent as basic authentication.
	Pushgateway string
	// Webhook is the address that an event is sent to; WebhookSecret signs it, if there is one. Either may hold a secret: neither is in any error.
	Webhook, WebhookSecret string
	// Timeout of each announcement; default DefaultTimeout.
	Timeout time.Duration
}

// Check tells what is wrong with it before a drill has taken its time.
func (to To) Check() error {
	var errs []error
	if to.MetricsDir != "" {
		if info, err := os.Stat(to.MetricsDir); err != nil {
			errs = append(errs, fmt.Errorf("directory for metrics: %w", err))
		} else if !info.IsDir() {
			errs = append(errs, fmt.Errorf("directory for metrics: %s is no directory", to.MetricsDir))
		}
	}
	for _, named := range []struct{ what, address string }{{"Pushgateway", to.Pushgateway}, {"webhook", to.Webhook}} {
		if named.address == "" {
			continue
		}
		u, err := url.Parse(named.address)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			errs = append(errs, fmt.Errorf("address of the %s: want http://HOST... or https://HOST... (it is not shown: it may hold a secret)", named.what))
		}
	}
	_, err := webhookKey(to.WebhookSecret)
	return errors.Join(append(errs, err)...)
}

// Announce the outcome of a drill to all. Dir is its run directory, which the spans are made from.
func (to To) Announce(ctx context.Context, r *reports.Report, dir string) error {
	if to.Timeout == 0 {
		to.Timeout = DefaultTimeout
	}
	var errs []error
	if to.MetricsDir != "" {
		_, err := reports.WriteMetrics(to.MetricsDir, r)
		errs = append(errs, err)
	}
	within := func(tell func(context.Context) error) {
		ctx, cancel := context.WithTimeout(ctx, to.Timeout)
		defer cancel()
		errs = append(errs, tell(ctx))
	}
	if to.Pushgateway != "" {
		within(func(ctx context.Context) error { return push(ctx, to.Pushgateway, r) })
	}
	if to.Webhook != "" {
		within(func(ctx context.Context) error { return post(ctx, to.Webhook, to.WebhookSecret, r) })
	}
	if tracing() {
		within(func(ctx context.Context) error { return trace(ctx, r, dir) })
	}
	return errors.Join(errs...)
}

// host of an address, for an error: the rest of it may be a secret.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	return u.Scheme + "://" + u.Host
}

// inner is what went wrong with a request, without its address.
func inner(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
