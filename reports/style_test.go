package reports

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every text stands out from what it is written on by WCAG's 4.5 to 1, in the light, in the dark and on paper.
func TestContrast(t *testing.T) {
	schemes := map[string]map[string]string{"light": {}, "dark": {}}
	for _, m := range regexp.MustCompile(`--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)`).FindAllStringSubmatch(pageStyle, -1) {
		schemes["light"][m[1]], schemes["dark"][m[1]] = m[2], m[3]
	}
	require.Equal(t, strings.Count(pageStyle, "light-dark("), len(schemes["light"]), "each colour has a name")
	require.Contains(t, pageStyle, "@media print {\n  :root, :root[data-scheme] { color-scheme: light;", "paper is light, and the bar on it white")
	pairs := []struct{ text, on string }{
		{"ink", "bg"}, {"ink", "surface"}, {"ink", "sunken"}, {"ink", "unknown-tint"}, {"ink", "failed-tint"}, {"ink", "passed-tint"},
		{"muted", "bg"}, {"muted", "surface"}, {"muted", "sunken"},
		{"passed", "passed-tint"}, {"failed", "failed-tint"}, {"unknown", "unknown-tint"}, {"skipped", "skipped-tint"},
		{"passed", "surface"}, {"failed", "surface"}, {"unknown", "surface"}, {"purple", "sunken"}, {"accent", "surface"}, {"accent", "sunken"},
	}
	for scheme, colors := range schemes {
		for _, p := range pairs {
			require.GreaterOrEqual(t, contrast(t, colors[p.text], colors[p.on]), 4.5, "%s: --%s on --%s", scheme, p.text, p.on)
		}
		for _, v := range []Verdict{Passed, Failed, Unknown, Skipped} {
			require.GreaterOrEqual(t, contrast(t, "#ffffff", colors["bar-"+v.String()]), 4.5, "%s: the bar of %s", scheme, v)
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	la, lb := luminance(t, a), luminance(t, b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

func luminance(t *testing.T, color string) float64 {
	hex := strings.TrimPrefix(color, "#")
	require.Len(t, hex, 6, "color %q", color)
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		require.NoError(t, err)
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
