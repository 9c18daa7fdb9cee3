// Package faulttest is the conformance suite for faults: what every faults.Fault has to do.
package faulttest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/drills/faults"
)

// timeout for a fault to be injected and seen: longer than any machine stalls.
const timeout = 2 * time.Minute

// Strike shows that fault cannot be seen in the scene, that it can once it was injected, and that looking changes nothing. It returns what was
// seen.
func Strike(t *testing.T, fault faults.Fault, scene *faults.Scene) faults.Sighting {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	for range 2 {
		before, err := fault.Visible(ctx, scene)
		require.NoError(t, err)
		require.False(t, before.Visible, "visible before it is injected: %s", before.Detail)
		require.NotEmpty(t, before.Detail)
	}
	require.NoError(t, fault.Inject(ctx, scene))
	struck := time.Now()
	for {
		after, err := fault.Visible(ctx, scene)
		require.NoError(t, err)
		require.NotEmpty(t, after.Detail)
		if after.Visible {
			t.Logf("%s, seen after %s: %s", fault.Name(), time.Since(struck).Round(time.Millisecond), after.Detail)
			again, err := fault.Visible(ctx, scene)
			require.NoError(t, err)
			require.True(t, again.Visible, "gone again: %s", again.Detail)
			return after
		}
		require.NoError(t, ctx.Err(), "was injected and cannot be seen: %s", after.Detail)
	}
}

// Describes shows that fault says what a plan needs to know of it, and that it meets a scene in which there is nothing with an error.
func Describes(t *testing.T, fault faults.Fault) {
	t.Helper()
	require.Regexp(t, `^[a-z]+(-[a-z]+)*$`, fault.Name())
	require.True(t, strings.HasSuffix(fault.Destroys(), "."), "%q is no sentence", fault.Destroys())
	require.Contains(t, []string{"source cluster", "seeded source cluster before its backup", "source cluster after its backup", "artifact", "tool while it backs up", "way of restoring", "empty new cluster", "tool while it restores", "restored cluster", "evidence"}, fault.Strikes().String())
	before, err := fault.Visible(t.Context(), &faults.Scene{})
	require.False(t, before.Visible, "visible where there is nothing")
	if fault.Inject(t.Context(), &faults.Scene{}) != nil {
		require.Error(t, err, "Inject needs something that Visible does without")
	}
}
