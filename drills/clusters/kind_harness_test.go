package clusters

import (
	"context"
	"fmt"
	"path/filepath"
)

// KindHarnessVar makes this test's binary a harness of its own, which makes the machines of a kind cluster below the directory it names.
const KindHarnessVar = "RESTORE_DRILL_TEST_KIND_HARNESS"

// KindName is what kind calls the cluster of a place.
var KindName = kindName

func kindHarness(root, nodeImage string) error {
	spec := testSpec("drill", filepath.Dir(root))
	spec.Nodes, spec.Progress = 1, func(line string) { fmt.Println(line) }
	if _, err := NewKind(Tools{StateRoot: root, NodeImage: nodeImage}).Create(context.Background(), spec); err != nil {
		return err
	}
	fmt.Println("made")
	select {}
}
