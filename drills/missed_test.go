package drills

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/drills/faults"
	"github.com/restore-drill/restore-drill/internal/evidence"
)

// A tool that never comes to the moment at which a fault was to strike leaves a phase that shows nothing, however the tool ends.
func TestAFaultWhoseMomentNeverCame(t *testing.T) {
	killed := func() fault { return fault{Fault: &faults.VeleroKilled{During: "restore"}} }
	struck := killed()
	struck.struck = true
	for name, test := range map[string]struct {
		fault fault
		tool  error
		want  string
	}{
		"struck, and the tool ends well":       {struck, nil, "restore teardown end"},
		"struck, and the tool fails":           {struck, errors.New("boom"), "restore!tool teardown end"},
		"never struck, and the tool ends well": {killed(), nil, "restore!harness teardown end"},
		"never struck, and the tool fails":     {killed(), errors.New("boom"), "restore!harness teardown end"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				record := &timeline{}
				d := &drill{engine: &engine{rec: record}, faults: []fault{test.fault}}
				err := d.engine.run(t.Context(), []phase{{name: evidence.PhaseRestore, run: func(context.Context) error {
					return errors.Join(test.tool, d.missed(faults.Empty, faults.DuringRestore))
				}}})
				require.Equal(t, test.want, record.String())
				if !test.fault.struck {
					require.ErrorContains(t, err, "fault velero-killed never struck the tool while it restores: the drill would prove nothing")
				}
				require.NoError(t, d.missed(faults.DuringBackup), "it was not to strike there")
			})
		})
	}
}
