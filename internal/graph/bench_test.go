package graph

import (
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/restore-drill/restore-drill/internal/census"
)

// BenchmarkGraph reports what a graph holds, beside what making it costs.
func BenchmarkGraph(b *testing.B) {
	for _, n := range []int{50_000, 300_000} {
		entries := bigCensus(n)
		b.Run(fmt.Sprintf("make/objects=%d", n), func(b *testing.B) {
			var held float64
			for b.Loop() {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				g := graphOf(b, census.Tail{}, entries...)
				runtime.GC()
				runtime.ReadMemStats(&after)
				held = float64(after.HeapAlloc) - float64(before.HeapAlloc)
				runtime.KeepAlive(g)
			}
			b.ReportMetric(held/1e6, "MB-held")
		})
		g := graphOf(b, census.Tail{}, entries...)
		b.Run(fmt.Sprintf("missing/objects=%d", n), func(b *testing.B) {
			for b.Loop() {
				g.Missing(g)
			}
		})
		b.Run(fmt.Sprintf("order/objects=%d", n), func(b *testing.B) {
			for b.Loop() {
				g.Order()
			}
		})
		b.Run(fmt.Sprintf("text/objects=%d", n), func(b *testing.B) {
			for b.Loop() {
				_ = g.WriteText(io.Discard, g)
			}
		})
	}
}
