//go:build pins

// Package pins keeps modules in go.mod until the code that uses them is there.
package pins

import (
	_ "github.com/vmware-tanzu/velero/pkg/apis/velero/v2alpha1"
	_ "gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/memblob"
	_ "gocloud.dev/blob/s3blob"
	_ "sigs.k8s.io/controller-runtime/pkg/client"
	_ "sigs.k8s.io/kind/pkg/cluster"
)
