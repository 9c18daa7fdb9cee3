package clusters

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/version"
)

// CheckUpgrade tells why a backup of one version of Kubernetes must not be restored on another: an older API server does not know what a newer
// one stored, and drops or refuses it. Source: https://kubernetes.io/releases/version-skew-policy/
func CheckUpgrade(from, to string) error {
	before, errBefore := version.ParseGeneric(from)
	after, errAfter := version.ParseGeneric(to)
	if errBefore != nil || errAfter != nil {
		return fmt.Errorf("compare the versions %q and %q of Kubernetes: want versions such as v1.36.3", from, to)
	}
	if after.LessThan(before) {
		return fmt.Errorf("a backup of Kubernetes %s must not be restored on %s: an older API server does not know all that a newer one stored "+
			"(set spec.restore.version to %s or later)", from, to, from)
	}
	return nil
}
