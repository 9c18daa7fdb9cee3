// Package cadence is how often something is promised to happen, in words that people use: weekly, quarterly, 10d, 36h.
package cadence

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Words and their periods: the longest month and the longest quarter, so that what is done on the same day of each is in time.
var words = map[string]time.Duration{"daily": day, "weekly": 7 * day, "monthly": 31 * day, "quarterly": 92 * day}

// Pattern that every cadence matches, and Like the same in words.
var Pattern = regexp.MustCompile(`^(daily|weekly|monthly|quarterly|[1-9][0-9]*d|([0-9]+(\.[0-9]+)?(h|m|s))+)$`)

// Like says what matches Pattern.
const Like = "daily, weekly, monthly, quarterly, or a time such as 10d or 36h"

// Period is the time within which it has to happen again.
func Period(s string) (time.Duration, error) {
	if period, ok := words[s]; ok {
		return period, nil
	}
	if !Pattern.MatchString(s) {
		return 0, fmt.Errorf("unknown cadence %q (want %s)", s, Like)
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n > 100_000 {
			return 0, fmt.Errorf("unknown cadence %q (want %s)", s, Like)
		}
		return time.Duration(n) * day, nil
	}
	period, err := time.ParseDuration(s)
	if err != nil || period <= 0 {
		return 0, fmt.Errorf("unknown cadence %q (want %s)", s, Like)
	}
	return period, nil
}
