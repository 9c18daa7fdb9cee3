package scenarios

import kubernetes "k8s.io/apimachinery/pkg/util/version"

// Older tells whether one version of Kubernetes, v1.36.3, is older than another. What is no version is not older.
func Older(one, other string) bool {
	a, errOne := kubernetes.ParseGeneric(one)
	b, errOther := kubernetes.ParseGeneric(other)
	return errOne == nil && errOther == nil && a.LessThan(b)
}
