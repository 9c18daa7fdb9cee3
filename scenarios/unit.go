package scenarios

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Duration is written as Go writes it: 90s, 1m30s, 250ms.
type Duration struct{ time.Duration }

// A Size is a number of bytes with its unit: 512B, 4Ki, 1Mi.
type Size string

// maxSize leaves room in an object, which the API server takes up to 1 MiB of.
const maxSize = 1000 << 10

// The JSON Schema has the same patterns.
var (
	durationPattern = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`)
	sizePattern     = regexp.MustCompile(`^[0-9]+(B|Ki|Mi)$`)
	amountPattern   = regexp.MustCompile(`^(-?[0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµ]*)$`)
)

// String leaves out what is zero: 5m and not 5m0s.
func (d Duration) String() string {
	s := d.Duration.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalJSON writes the duration as a string.
func (d Duration) MarshalJSON() ([]byte, error) { return []byte(`"` + d.String() + `"`), nil }

// UnmarshalText reads what MarshalJSON wrote, and says what to write instead of what it does not read.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	if durationPattern.MatchString(s) {
		parsed, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("%q is out of range", shorten(s))
		}
		d.Duration = parsed
		return nil
	}
	amount := amountPattern.FindStringSubmatch(s)
	switch {
	case amount == nil:
		return fmt.Errorf("%q is not a duration (write for example 90s, 1m30s or 250ms)", shorten(s))
	case strings.HasPrefix(s, "-"):
		return fmt.Errorf("%q is out of range: a duration is not negative", shorten(s))
	case amount[2] == "":
		return fmt.Errorf("%q has no unit (write %[1]ss for seconds, %[1]sm for minutes)", shorten(s))
	}
	if unit, near := durationUnit(amount[2]); near {
		return fmt.Errorf("%q has a wrong unit (did you mean %s%s?)", shorten(s), amount[1], unit)
	}
	if days, err := time.ParseDuration(amount[1] + "h"); err == nil && strings.HasPrefix(strings.ToLower(amount[2]), "d") {
		return fmt.Errorf("%q has a wrong unit (did you mean %gh?)", shorten(s), days.Hours()*24)
	}
	return fmt.Errorf("%q has a wrong unit %q; known: ms, s, m, h", shorten(s), shorten(amount[2]))
}

// durationUnit that a word stands for.
func durationUnit(word string) (unit string, known bool) {
	for unit, words := range map[string][]string{
		"ms": {"msec", "msecs", "milli", "millis", "millisecond", "milliseconds", "ms"},
		"s":  {"sec", "secs", "second", "seconds", "s"},
		"m":  {"min", "mins", "minute", "minutes", "m"},
		"h":  {"hr", "hrs", "hour", "hours", "h"},
	} {
		if slices.Contains(words, strings.ToLower(word)) {
			return unit, true
		}
	}
	return "", false
}

// UnmarshalText takes a size as it is written, if it is one, and says what to write instead if it is none.
func (s *Size) UnmarshalText(text []byte) error {
	if !sizePattern.Match(text) {
		return wrongSize(string(text))
	}
	*s = Size(text)
	if n := s.Bytes(); n < 1 || n > maxSize {
		return fmt.Errorf("%s is out of range: want at least 1B and at most %dKi", shorten(string(text)), maxSize>>10)
	}
	return nil
}

// A Capacity is a Size that need not fit into an object: 512Ki, 64Mi.
type Capacity string

// maxCapacity leaves room for two clusters on one disk.
const maxCapacity = 4 << 30

// UnmarshalText takes a capacity as it is written, if it is one, and says what to write instead if it is none.
func (c *Capacity) UnmarshalText(text []byte) error {
	if !sizePattern.Match(text) {
		return wrongSize(string(text))
	}
	*c = Capacity(text)
	if n := c.Bytes(); n < 1 || n > maxCapacity {
		return fmt.Errorf("%s is out of range: want at least 1B and at most %dMi", shorten(string(text)), maxCapacity>>20)
	}
	return nil
}

// Bytes of the capacity; 0 when it is not set.
func (c Capacity) Bytes() int { return Size(c).Bytes() }

// Bytes of the size; 0 when it is not set.
func (s Size) Bytes() int {
	digits := strings.TrimRight(string(s), "BKMi")
	shift, ok := map[string]int{"": 0, "B": 0, "Ki": 10, "Mi": 20}[string(s[len(digits):])]
	n, err := strconv.Atoi(digits)
	switch {
	case s == "":
		return 0
	case !ok || err != nil || n > math.MaxInt>>shift:
		return math.MaxInt
	}
	return n << shift
}

func wrongSize(s string) error {
	amount := amountPattern.FindStringSubmatch(s)
	if amount == nil || strings.HasPrefix(s, "-") || strings.Contains(amount[1], ".") {
		return fmt.Errorf("%q is not a size (write for example 512B, 4Ki or 1Mi)", shorten(s))
	}
	switch unit := strings.ToLower(amount[2]); {
	case unit == "":
		return fmt.Errorf("%q has no unit (write %[1]sB for bytes, %[1]sKi for kibibytes)", shorten(s))
	case strings.HasPrefix(unit, "k"):
		return fmt.Errorf("%q has a wrong unit (did you mean %sKi?)", shorten(s), amount[1])
	case strings.HasPrefix(unit, "m"):
		return fmt.Errorf("%q has a wrong unit (did you mean %sMi?)", shorten(s), amount[1])
	case strings.HasPrefix(unit, "b"):
		return fmt.Errorf("%q has a wrong unit (did you mean %sB?)", shorten(s), amount[1])
	}
	return fmt.Errorf("%q has a wrong unit %q; known: B, Ki, Mi", shorten(s), amount[2])
}
