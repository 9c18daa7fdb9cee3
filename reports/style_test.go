package reports

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every text stands out from what it is written on by WCAG's 4.5 to 1, in the light, in the dark and on paper.
func TestContrast(t *testing.T) {
	blocks := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(pageStyle, -1)
	require.Len(t, blocks, 3, "light, dark, print")
	pairs := []struct{ text, on string }{
		{"ink", "bg"}, {"ink", "surface"}, {"ink", "sunken"}, {"ink", "unknown-tint"}, {"ink", "failed-tint"}, {"ink", "passed-tint"},
		{"muted", "bg"}, {"muted", "surface"}, {"muted", "sunken"},
		{"passed", "passed-tint"}, {"failed", "failed-tint"}, {"unknown", "unknown-tint"}, {"skipped", "skipped-tint"},
		{"passed", "surface"}, {"failed", "surface"}, {"unknown", "surface"}, {"purple", "sunken"}, {"accent", "surface"}, {"accent", "sunken"},
	}
	for i, scheme := range []string{"light", "dark", "print"} {
		colors := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{3,6})`).FindAllStringSubmatch(blocks[i][1], -1) {
			colors[m[1]] = m[2]
		}
		for _, p := range pairs {
			require.GreaterOrEqual(t, contrast(t, colors[p.text], colors[p.on]), 4.5, "%s: --%s on --%s", scheme, p.text, p.on)
		}
		bar := "#fff"
		if scheme == "print" {
			bar = "#000"
		}
		for _, v := range []Verdict{Passed, Failed, Unknown, Skipped} {
			require.GreaterOrEqual(t, contrast(t, bar, colors["bar-"+v.String()]), 4.5, "%s: the bar of %s", scheme, v)
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	la, lb := luminance(t, a), luminance(t, b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

func luminance(t *testing.T, color string) float64 {
	hex := strings.TrimPrefix(color, "#")
	if len(hex) == 3 {
		hex = fmt.Sprintf("%c%[1]c%c%[2]c%c%[3]c", hex[0], hex[1], hex[2])
	}
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
