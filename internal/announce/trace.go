package announce

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	otel "go.opentelemetry.io/otel/trace"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

// tracing tells whether OpenTelemetry's variables name a receiver. Its own default would be one on this machine.
func tracing() bool {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" {
		return false
	}
	for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}

// trace exports the timeline of a run directory as spans: the drill, its phases in it, and their operations in those, at the times that the
// timeline has. They belong to the trace that TRACEPARENT names, if it does.
func trace(ctx context.Context, r *reports.Report, dir string) (err error) {
	header, err := evidence.ReadHeader(dir)
	if err != nil {
		return fmt.Errorf("make spans of the timeline: %w", err)
	}
	events, err := evidence.ReadTimeline(dir)
	if err != nil && !errors.Is(err, evidence.ErrTorn) {
		return fmt.Errorf("make spans of the timeline: %w", err)
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return fmt.Errorf("export spans (OTEL_TRACES_EXPORTER is %q): %w", os.Getenv("OTEL_TRACES_EXPORTER"), err)
	}
	defer func() { err = errors.Join(err, exporter.Shutdown(ctx)) }()
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(attribute.String("service.name", "restore-drill"), attribute.String("service.version", r.Drill.RunBy)), resource.WithFromEnv())
	if err != nil {
		return fmt.Errorf("export spans: %w", err)
	}
	ended := &endedSpans{}
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(ended), sdk.WithResource(about))
	joined := autoprop.NewTextMapPropagator().Extract(ctx, propagation.MapCarrier{"traceparent": os.Getenv("TRACEPARENT"), "tracestate": os.Getenv("TRACESTATE"), "baggage": os.Getenv("BAGGAGE")})
	spans{provider.Tracer("github.com/restore-drill/restore-drill"), header.Started}.drill(joined, r, events)
	if err := provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("export spans: %w", err)
	}
	if err := exporter.ExportSpans(ctx, ended.all); err != nil {
		return fmt.Errorf("export spans: %w", inner(err))
	}
	return nil
}

// spans of a timeline that began at a time.
type spans struct {
	tracer otel.Tracer
	began  time.Time
}

func (s spans) at(d time.Duration) otel.SpanEventOption { return otel.WithTimestamp(s.began.Add(d)) }

// drill makes the spans of all. Those that the timeline does not end are ended with it, as errors.
func (s spans) drill(ctx context.Context, r *reports.Report, events []evidence.Event) {
	var last time.Duration
	for _, e := range events {
		last = max(last, e.At)
	}
	ctx, root := s.tracer.Start(ctx, "drill "+r.Drill.Scenario, s.at(0), otel.WithAttributes(
		attribute.String("restore_drill.id", r.Drill.ID), attribute.String("restore_drill.scenario", r.Drill.Scenario), attribute.String("restore_drill.provider", r.Drill.Provider),
		attribute.String("restore_drill.method", r.Drill.Method), attribute.StringSlice("restore_drill.faults", r.Drill.Faults), attribute.String("restore_drill.verdict", r.Verdict.String())))
	for _, o := range r.Objectives {
		if o.Measured != nil {
			root.SetAttributes(attribute.Float64("restore_drill.measured."+o.Name, *o.Measured))
		}
	}
	open := map[string]otel.Span{} // by phase and name
	phases := map[string]context.Context{}
	for _, e := range events {
		key := e.Phase + "\x00" + e.Name
		switch e.Kind {
		case evidence.PhaseStarted:
			phase, span := s.tracer.Start(ctx, e.Name, s.at(e.At), otel.WithAttributes(attribute.Bool("restore_drill.on_trial", evidence.OnTrial(e.Name))))
			open[e.Name], phases[e.Name] = span, phase
		case evidence.PhaseEnded:
			s.end(open, e.Name, e)
		case evidence.StepStarted:
			within, ok := phases[e.Phase]
			if !ok {
				within = ctx
			}
			_, open[key] = s.tracer.Start(within, e.Name, s.at(e.At), otel.WithAttributes(attribute.String("restore_drill.detail", e.Detail)))
		case evidence.StepEnded:
			s.end(open, key, e)
		case evidence.MarkReached, evidence.Claim, evidence.ArtifactChosen:
			root.AddEvent(e.Name, s.at(e.At), otel.WithAttributes(attribute.String("restore_drill.event", e.Kind), attribute.String("restore_drill.detail", e.Detail)))
		}
	}
	for _, span := range open {
		span.SetStatus(codes.Error, "it did not end")
		span.End(s.at(last))
	}
	if r.Verdict == reports.Passed {
		root.SetStatus(codes.Ok, "")
	} else {
		root.SetStatus(codes.Error, r.Verdict.String()+": "+r.Reason)
	}
	root.End(s.at(last))
}

func (s spans) end(open map[string]otel.Span, key string, e evidence.Event) {
	span, ok := open[key]
	if !ok {
		return
	}
	delete(open, key)
	if e.Error != "" {
		span.SetStatus(codes.Error, e.Error)
		if e.Blame != "" {
			span.SetAttributes(attribute.String("restore_drill.blame", e.Blame))
		}
	}
	span.End(s.at(e.At))
}

// endedSpans are kept until all are there. The SDK's own processors export behind one's back, and tell nobody when that fails.
type endedSpans struct {
	mu  sync.Mutex
	all []sdk.ReadOnlySpan
}

func (*endedSpans) OnStart(context.Context, sdk.ReadWriteSpan) {}

func (e *endedSpans) OnEnd(s sdk.ReadOnlySpan) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, s)
}

func (*endedSpans) Shutdown(context.Context) error   { return nil }
func (*endedSpans) ForceFlush(context.Context) error { return nil }
