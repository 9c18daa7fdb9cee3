package cadence

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPeriod(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"daily": 24 * time.Hour, "weekly": 168 * time.Hour, "monthly": 31 * 24 * time.Hour, "quarterly": 92 * 24 * time.Hour, "10d": 240 * time.Hour, "36h": 36 * time.Hour, "1h30m": 90 * time.Minute,
	} {
		got, err := Period(s)
		require.NoError(t, err)
		require.Equal(t, want, got, s)
	}
	for _, s := range []string{"", "yearly", "0d", "-1d", "0h", "1.5d", "99999999999999999999d", "9999999999999999999h", "Daily"} {
		_, err := Period(s)
		require.ErrorContains(t, err, "(want daily, weekly, monthly, quarterly, or a time such as 10d or 36h)", s)
	}
}
