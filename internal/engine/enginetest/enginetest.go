// Package enginetest lends tests the container engine of this machine.
package enginetest

import (
	"os"
	"testing"

	"github.com/restore-drill/restore-drill/internal/engine"
)

// Answering is the engine of this machine. Where none answers the test is skipped; where RESTORE_DRILL_REQUIRE_ENGINE is set, it fails.
func Answering(t testing.TB) *engine.Engine {
	t.Helper()
	e, err := engine.Find()
	if err == nil {
		_, err = e.Info(t.Context())
	}
	if err != nil && os.Getenv("RESTORE_DRILL_REQUIRE_ENGINE") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
	return e
}
