package clusters

import (
	"context"
	"io"
)

// Machined is implemented by a Cluster whose nodes are machines with an operating system of their own, which a fault can damage and a
// restore has to set up. It is asked for by a type assertion; a scenario whose fault needs machines says so before anything is made.
type Machined interface {
	Cluster
	// Machines of the cluster that are there, those of the control plane first.
	Machines() []Machine
}

// A Machine is one node of a cluster: a container that boots an init system, with kubelet and containerd in it.
type Machine interface {
	// Name of the container, and of the Node that its kubelet registers.
	Name() string
	// ControlPlane tells whether static pods of a control plane run on it.
	ControlPlane() bool
	// Exec runs a command on it and returns its standard output. The error of a command that failed carries its argv, pasteable, and the end of
	// its standard error. Stdin may be nil.
	Exec(ctx context.Context, stdin io.Reader, argv ...string) ([]byte, error)
	// Destroy removes it at once with its disks, as a fire does. What it held is gone.
	Destroy(ctx context.Context) error
	// CutOff takes it off its network, and Reconnect puts it back under the address that it had. It goes on running meanwhile.
	CutOff(ctx context.Context) error
	Reconnect(ctx context.Context) error
}
