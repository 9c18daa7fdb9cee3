package reports

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWriteAllLeavesThreeReportsAndTheirDigests(t *testing.T) {
	dir := t.TempDir()
	paths, err := WriteAll(dir, &Report{Schema: SchemaVersion})
	require.NoError(t, err)
	require.Len(t, paths, 3)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 4)
	require.FileExists(t, filepath.Join(dir, "reports.sha256"))

	_, err = WriteAll(filepath.Join(dir, "missing"), &Report{})
	require.ErrorContains(t, err, "report.html")
	require.ErrorContains(t, err, "junit.xml", "every format that could not be written is named")
}
