package checks

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

func TestRunbook(t *testing.T) {
	at := time.Duration(0)
	event := func(phase, kind, name, step, detail, err string) evidence.Event {
		at += time.Second
		return evidence.Event{At: at, Phase: phase, Kind: kind, Name: name, Step: step, Detail: detail, Error: err}
	}
	const restore = evidence.PhaseRestore
	run := &Run{Events: []evidence.Event{
		event(evidence.PhaseProvision, evidence.Command, "m", "", "kubeadm init", ""),
		event(restore, evidence.Command, "m", "", "reboot", ""),
		event(restore, evidence.StepStarted, "lay in", "", "keys", ""),
		event(restore, evidence.StepStarted, "restore", "", "data", ""),
		event(restore, evidence.Command, "m", "lay in", "install ca.key", ""),
		event(restore, evidence.Command, "here", "", "etcdutl", ""), // belongs to the step that was begun last
		event(restore, evidence.StepEnded, "restore", "", "", ""),
		event(restore, evidence.StepEnded, "lay in", "", "", "no room"),
		event(restore, evidence.StepStarted, evidence.StepInject+"x", "", "", ""),
		event(evidence.PhaseSurvey, evidence.Command, "m", "", "crictl pods", ""),
	}}
	require.Equal(t, []reports.RunbookStep{
		{Title: "restore", Start: 2, End: seconds(2 * time.Second), Commands: []reports.Command{{Where: "m", Command: "reboot"}}},
		{Title: "lay in", Detail: "keys", Start: 3, End: seconds(8 * time.Second), Error: "no room", Commands: []reports.Command{{Where: "m", Command: "install ca.key"}}},
		{Title: "restore", Detail: "data", Start: 4, End: seconds(7 * time.Second), Commands: []reports.Command{{Where: "here", Command: "etcdutl"}}},
	}, run.runbook())
	require.Empty(t, (&Run{}).runbook())
}
