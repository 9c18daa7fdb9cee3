package shell_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/internal/shell"
)

// TestJoin has a shell read back what was written.
func TestJoin(t *testing.T) {
	require.Equal(t, "etcdutl snapshot restore --bump-revision=1 /a/b.db", shell.Join("etcdutl", "snapshot", "restore", "--bump-revision=1", "/a/b.db"))
	words := []string{"a b", "it's", "$HOME", "*", "", `"`, "a\nb"}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", shell.Join(append([]string{"printf", `%s\0`}, words...)...)).Output()
	require.NoError(t, err)
	require.Equal(t, words, strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"))
}
