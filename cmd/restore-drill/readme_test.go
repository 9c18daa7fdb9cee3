package main

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/scenarios"
)

// TestReadme parses every YAML block of the README as a scenario.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(readme, -1)
	require.NotEmpty(t, blocks)
	for _, b := range blocks {
		_, err := scenarios.Parse("README.md", b[1], drills.Vocabulary())
		require.NoError(t, err)
	}
}
