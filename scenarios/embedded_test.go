package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEmbedded reads the scenarios that ship; that each names only what is built in is shown where that is known.
func TestEmbedded(t *testing.T) {
	modeline := "# yaml-language-server: $schema=" + SchemaURL + "\n"
	names := map[string]bool{}
	sabotage := 0
	for _, s := range Embedded() {
		t.Run(s.Name, func(t *testing.T) {
			require.False(t, names[s.Name], "two scenarios have this name")
			names[s.Name] = true
			require.True(t, strings.HasPrefix(string(s.Data), modeline), "the first line tells editors where the schema is")
			onDisk, err := os.ReadFile(filepath.Join("..", s.Path))
			require.NoError(t, err)
			require.Equal(t, string(onDisk), string(s.Data))

			parsed, err := Parse(s.Path, s.Data, Vocabulary{})
			require.NoError(t, err)
			require.Equal(t, s.Name, parsed.Metadata.Name)
			require.NoError(t, CheckFiles(parsed, s.Path))
			spec := parsed.Spec
			sentence := FirstSentence(spec.Description)
			require.NotEmpty(t, sentence)
			require.Less(t, len(sentence), 160, "a list shows the first sentence")
			require.NotNil(t, spec.Objectives.RTO)
			require.NotNil(t, spec.Objectives.RPO)
			if s.Sabotage {
				sabotage++
				require.NotEqual(t, "passed", spec.Expect.Verdict, "sabotage that may go unnoticed")
			}
			if spec.Expect.Verdict == "failed" && spec.Expect.Tool == "completed" {
				require.NotEmpty(t, spec.Expect.Checks, "which check sees it?")
			}
			found, ok := Find(s.Name)
			require.True(t, ok)
			require.Equal(t, s, found)
		})
	}
	require.GreaterOrEqual(t, sabotage, 9)
	_, ok := Find("no-such")
	require.False(t, ok)
}

func TestFirstSentence(t *testing.T) {
	require.Equal(t, "One. ", FirstSentence("One.\n Two.")+" ")
	require.Equal(t, "v1.36.3 goes", FirstSentence("  v1.36.3\n goes "))
	require.Empty(t, FirstSentence(""))
}

func TestNew(t *testing.T) {
	for name, want := range map[string]string{"my-drill": "my-drill", "My Drill!": "my-drill", "": "my-drill", "a\nb: c": "a-b-c", strings.Repeat("x", 99): strings.Repeat("x", 63)} {
		v := example()
		s, err := Parse("new.yaml", New(name), v)
		require.NoError(t, err)
		require.Equal(t, want, s.Metadata.Name)
	}
}
