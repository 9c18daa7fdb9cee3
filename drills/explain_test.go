package drills

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/scenarios"
)

// TestEverythingIsExplained asks for each name that there is, and for each field of a scenario.
func TestEverythingIsExplained(t *testing.T) {
	for _, s := range Subjects() {
		require.NotEmpty(t, s.Names, s.Singular)
		for _, name := range s.Names {
			text, err := Explain(s.Singular, name)
			require.NoError(t, err, "%s %s", s.Singular, name)
			require.True(t, strings.HasPrefix(text, strings.ToUpper(s.Singular)+": "+name+"\n"), text)
			require.Greater(t, len(strings.Fields(text)), 8, "%s %s says nothing: %s", s.Singular, name, text)
			require.NotContains(t, text, "\n\n\n", "%s %s", s.Singular, name)
		}
	}
	paths := scenarios.Fields(Vocabulary())
	require.Contains(t, paths, "spec.backup.velero.includedNamespaces")
	for _, path := range paths {
		text, err := scenarios.Explain(Vocabulary(), path, false)
		require.NoError(t, err, path)
		require.True(t, strings.HasPrefix(text, "FIELD: "+path+" <"), text)
	}
	text := ExplainPipeline()
	for _, phase := range evidence.Phases {
		require.Contains(t, text, "\n  "+phase)
	}
}
