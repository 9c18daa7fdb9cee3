package clusters_test

import (
	"testing"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/drills/clusters/clustertest"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

func TestProcessProvider(t *testing.T) {
	p := clusters.NewProcess(clusters.ProcessOptions{
		Toolchain: toolchain.New(toolchain.Options{Progress: func(line string) { t.Log(line) }}),
		StateRoot: t.TempDir(),
	})
	clustertest.Run(t, 3, func() clusters.Provider { return p })
}
