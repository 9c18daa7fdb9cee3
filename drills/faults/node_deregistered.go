package faults

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NodeDeregistered is a machine without a Node: a snapshot that is older than the machine was restored, or somebody deleted the wrong Node. The kubelet
// goes on, renews its lease, and registers only when it is started again.
type NodeDeregistered struct{}

// Name in the catalogue.
func (*NodeDeregistered) Name() string { return "node-deregistered" }

// Strikes the restored cluster.
func (*NodeDeregistered) Strikes() Target { return Restored }

// OnMachine says that there have to be machines.
func (*NodeDeregistered) OnMachine() {}

// Destroys in one sentence.
func (*NodeDeregistered) Destroys() string {
	return "The Node of the restored cluster's control-plane machine is deleted; its kubelet goes on, and does not register again."
}

// Inject deletes the Node.
func (*NodeDeregistered) Inject(ctx context.Context, s *Scene) error {
	m, err := s.restoredMachine()
	if err != nil {
		return err
	}
	client, err := s.restored()
	if err != nil {
		return err
	}
	return client.CoreV1().Nodes().Delete(ctx, m.Name(), metav1.DeleteOptions{})
}

// Visible when there is no such Node.
func (*NodeDeregistered) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	m, err := s.restoredMachine()
	if err != nil {
		return Sighting{}, err
	}
	client, err := s.restored()
	if err != nil {
		return Sighting{}, err
	}
	_, err = client.CoreV1().Nodes().Get(ctx, m.Name(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Sighting{Visible: true, Detail: fmt.Sprintf("machine %s has no Node", m.Name())}, nil
	}
	return Sighting{Detail: fmt.Sprintf("machine %s has a Node", m.Name())}, err
}
