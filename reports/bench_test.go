package reports

import (
	"bytes"
	"io"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// large is a report of 50,000 objects and 5,000 differences, as it is read from its file, in every format.
func large(t testing.TB, render func(format string, write func(io.Writer) error)) {
	one := &Set{Reports: []*Report{largeReport(50_000, 5_000)}}
	one.Reports[0].Controls = fixtureControls()
	var written bytes.Buffer
	require.NoError(t, WriteJSON(&written, one.Reports[0]))
	several := &Set{Summary: Summarize(one.Reports...), Reports: one.Reports}
	render("read", func(w io.Writer) error {
		_, err := ReadJSON(io.TeeReader(bytes.NewReader(written.Bytes()), w))
		return err
	})
	for _, format := range Formats {
		render(format, func(w io.Writer) error { return Render(w, format, one) })
	}
	render("set as markdown", func(w io.Writer) error { return Render(w, "markdown", several) })
	render("comparison", func(w io.Writer) error { return WriteComparison(w, Compare(passedReport(), one.Reports[0]), false) })
}

// BenchmarkRender says how long each format takes; all of them together are to take less than 2 s, and 300 MiB.
func BenchmarkRender(b *testing.B) {
	large(b, func(format string, write func(io.Writer) error) {
		b.Run(format, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := write(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// TestRenderingIsFrugal bounds what the formats allocate together, whether or not it lives at the same time: no machine's speed comes into it.
func TestRenderingIsFrugal(t *testing.T) {
	total := uint64(0)
	large(t, func(format string, write func(io.Writer) error) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		size := &counter{}
		require.NoError(t, write(size))
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		t.Logf("%-16s %8d bytes, %6.1f MiB allocated", format, size.bytes, float64(allocated)/(1<<20))
		total += allocated
	})
	require.Less(t, total, uint64(300<<20))
}

type counter struct{ bytes int }

func (c *counter) Write(b []byte) (int, error) {
	c.bytes += len(b)
	return len(b), nil
}
