package faults

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/restore-drill/restore-drill/fixtures"
)

// PodStarted is a pod that somebody starts after the backup. The restored store has never heard of it; its kubelet has, and goes on with it until it is told
// otherwise.
type PodStarted struct {
	// Namespace of the pod; default shop.
	Namespace string `json:"namespace,omitempty"`
	// Pod is its name; default late.
	Pod string `json:"name,omitempty"`
}

// Name in the catalogue.
func (*PodStarted) Name() string { return "pod-started" }

// Strikes the source cluster, and breaks nothing there.
func (*PodStarted) Strikes() Target { return Change }

// OnMachine says that there have to be machines.
func (*PodStarted) OnMachine() {}

// Destroys in one sentence.
func (f *PodStarted) Destroys() string {
	return "Nothing; Pod " + f.Namespace + "/" + f.Pod + " is started after the backup."
}

// Inject makes the pod.
func (f *PodStarted) Inject(ctx context.Context, s *Scene) error {
	client, err := s.source()
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Pods(f.Namespace).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: f.Pod},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: new(false), TerminationGracePeriodSeconds: new(int64(0)),
			Containers: []corev1.Container{{Name: "late", Image: fixtures.Image, Command: []string{"sleep", "infinity"}}},
		},
	}, metav1.CreateOptions{})
	return err
}

// Visible when it runs.
func (f *PodStarted) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	client, err := s.source()
	if err != nil {
		return Sighting{}, err
	}
	pod, err := client.CoreV1().Pods(f.Namespace).Get(ctx, f.Pod, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Sighting{Detail: fmt.Sprintf("there is no Pod %s/%s", f.Namespace, f.Pod)}, nil
	}
	if err != nil {
		return Sighting{}, err
	}
	return Sighting{Visible: pod.Status.Phase == corev1.PodRunning, Detail: fmt.Sprintf("Pod %s/%s is %s", f.Namespace, f.Pod, pod.Status.Phase)}, nil
}
