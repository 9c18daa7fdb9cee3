package velero

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/restore-drill/restore-drill/internal/place"
)

// TestPodsThatCannotRun shows which states of a pod end a wait at once, and what is said of them.
func TestPodsThatCannotRun(t *testing.T) {
	waiting := func(reason, message string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	}
	ended := func(reason string, code int32) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code}}
	}
	for name, test := range map[string]struct {
		state, last corev1.ContainerState
		// want is empty where the pod is waited for on.
		want    string
		outside bool
		// seen is how often the container had been started again when it was seen first, and it was so once since; -1 while a pod is waited for.
		seen int32
	}{
		"starts":    {state: waiting("ContainerCreating", "")},
		"runs":      {state: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
		"has ended": {state: ended("Completed", 0)},
		"crashes":   {waiting("CrashLoopBackOff", "back-off 10s"), ended("Error", 1), "container velero of pod velero-1 ended unasked: Error, exit code 1; its log:\nfake logs", false, -1},
		"is killed": {ended("OOMKilled", 137), corev1.ContainerState{}, "container velero of pod velero-1 ended unasked: OOMKilled, exit code 137; its log:\nfake logs", true, 0},
		"has no image": {waiting("ImagePullBackOff", `Back-off pulling image "velero/velero:v0"`), corev1.ContainerState{},
			`container velero of pod velero-1 cannot run: ImagePullBackOff: Back-off pulling image "velero/velero:v0"`, true, -1},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "velero-1"},
				Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "velero", State: test.state, LastTerminationState: test.last, RestartCount: 1}}},
			}
			p := &pods{client: fake.NewClientset(pod)}
			var seen map[string]int32
			if test.seen >= 0 {
				seen = map[string]int32{"/velero": test.seen}
			}
			err := p.death(t.Context(), pod, seen)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, test.want)
			var death *place.Death
			require.ErrorAs(t, err, &death)
			require.Equal(t, test.outside, death.Outside)
		})
	}
}

func TestStateOfAPod(t *testing.T) {
	require.Equal(t, "Pending", state(&corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending}}))
	require.Equal(t, "Unschedulable 0/1 nodes are available", state(&corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes are available"},
	}}}))
	require.Equal(t, "PodInitializing", state(&corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
		{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}},
	}}}))
}
