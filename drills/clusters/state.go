package clusters

import (
	"context"

	"github.com/restore-drill/restore-drill/internal/place"
)

// StateRoot is where clusters, and what else runs for a drill, have their places: RESTORE_DRILL_STATE_DIR, else restore-drill in the user's
// state directory.
func StateRoot() string { return place.StateRoot() }

// Cleanup ends the processes and removes the places of drills whose own process is gone, and says what it removed. It leaves alone those that
// still run. Done again it finds nothing.
func Cleanup(ctx context.Context, stateRoot string, progress func(string)) ([]string, error) {
	return place.Cleanup(ctx, stateRoot, progress)
}
