package faults_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/drills/faults"
	"github.com/restore-drill/restore-drill/drills/faults/faulttest"
	"github.com/restore-drill/restore-drill/internal/etcd"
	"github.com/restore-drill/restore-drill/internal/ledger"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// A test waits this long only when it fails.
const (
	patience = 2 * time.Minute
	tick     = 20 * time.Millisecond
)

// start a cluster of so many etcd members.
func start(t *testing.T, members int) clusters.Cluster {
	t.Helper()
	provider := clusters.NewProcess(clusters.ProcessOptions{
		Toolchain: toolchain.New(toolchain.Options{Progress: func(line string) { t.Log(line) }}),
		StateRoot: t.TempDir(),
	})
	c, err := provider.Create(t.Context(), clusters.Spec{
		Name: "source", DrillID: "faults", LogDir: filepath.Join(t.TempDir(), "logs"), EtcdMembers: members, Nodes: 1,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Delete(context.WithoutCancel(t.Context()))) })
	require.NoError(t, c.Start(t.Context(), nil))
	return c
}

func source(c clusters.Cluster) *faults.Scene {
	return &faults.Scene{Source: c, Rand: rand.New(rand.NewPCG(1, 0))}
}

func TestOfOneMember(t *testing.T) {
	c := start(t, 1)
	require.ErrorContains(t, (&faults.EtcdQuorumLost{}).Inject(t.Context(), source(c)), "cluster source has 1 etcd members: a quorum is lost among 3 or more")
	t.Run("sabotage", func(t *testing.T) { sabotage(t, c) })
	t.Run("a restart without damage is no corruption", func(t *testing.T) {
		harmless := &faults.EtcdCorrupted{Pages: 0}
		require.NoError(t, harmless.Inject(t.Context(), source(c)))
		seen, err := harmless.Visible(t.Context(), source(c))
		require.NoError(t, err)
		require.Equal(t, faults.Sighting{Detail: "0 of 1 etcd members refuse connections"}, seen)
		// The API server may not have noticed yet that its store is back.
		client := kubernetes.NewForConfigOrDie(c.Config())
		require.Eventually(t, func() bool {
			_, err := client.CoreV1().Namespaces().Get(t.Context(), metav1.NamespaceSystem, metav1.GetOptions{})
			return err == nil
		}, patience, tick)
	})
	t.Run("a store that is silent is not lost", func(t *testing.T) {
		pid, _, _ := strings.Cut(strings.TrimPrefix(c.Component("etcd-0").Identity(), "pid "), " ")
		member, err := strconv.Atoi(pid)
		require.NoError(t, err)
		require.NoError(t, syscall.Kill(member, syscall.SIGSTOP))
		defer syscall.Kill(member, syscall.SIGCONT)
		look := time.NewTicker(tick)
		defer look.Stop()
		for stalled := time.Now(); time.Since(stalled) < 3*time.Second; <-look.C {
			for _, name := range []string{"etcd-data-lost", "etcd-corrupted", "control-plane-lost"} {
				seen, err := faults.Catalogue()[name]().Visible(t.Context(), source(c))
				require.NoError(t, err)
				require.False(t, seen.Visible, seen.Detail)
			}
		}
	})
	// Each of these leaves something standing that the next one takes.
	t.Run("etcd-corrupted", func(t *testing.T) {
		seen := faulttest.Strike(t, faults.Catalogue()["etcd-corrupted"](), source(c))
		require.Contains(t, seen.Detail, "1 of 1 etcd members refuse connections; etcd-0 ended: panic: ")
	})
	t.Run("control-plane-lost", func(t *testing.T) {
		seen := faulttest.Strike(t, &faults.ControlPlaneLost{}, source(c))
		require.Equal(t, "the API server refuses connections, 1 of 1 etcd members refuse connections", seen.Detail)
		for _, component := range c.Components() {
			require.False(t, component.Running(), component.Name())
		}
		require.NoDirExists(t, c.Members()[0].DataDir)
	})
}

func TestEtcdDataLost(t *testing.T) {
	c := start(t, 1)
	faulttest.Strike(t, &faults.EtcdDataLost{}, source(c))
	require.NoDirExists(t, c.Members()[0].DataDir)
	require.True(t, c.Component("kube-apiserver").Running())
}

func TestEtcdQuorumLost(t *testing.T) {
	c := start(t, 3)
	leader := leads(t, c)
	require.NoError(t, c.Component(c.Members()[leader].Name).Kill(t.Context()))
	// One member of three is no quorum: nothing is to be seen of that, least of all while the others elect a new leader.
	survivor := c.Store().Endpoints[(leader+1)%3]
	elected := make(chan struct{})
	go func() {
		defer close(elected)
		for err := errors.New("not asked yet"); err != nil && t.Context().Err() == nil; {
			_, err = etcd.Revision(t.Context(), survivor, c.Store().TLS)
		}
	}()
	look := time.NewTicker(tick)
	defer look.Stop()
	for waiting := true; waiting; {
		seen, err := (&faults.EtcdQuorumLost{}).Visible(t.Context(), source(c))
		require.NoError(t, err)
		require.Equal(t, faults.Sighting{Detail: "1 of 3 etcd members refuse connections"}, seen)
		select {
		case <-elected:
			waiting = false
		case <-look.C:
		}
	}
	require.NoError(t, c.Component(c.Members()[leader].Name).Start(t.Context(), nil))
	// It runs before it listens.
	require.Eventually(t, func() bool {
		_, err := etcd.Revision(t.Context(), c.Store().Endpoints[leader], c.Store().TLS)
		return err == nil
	}, patience, tick)

	seen := faulttest.Strike(t, &faults.EtcdQuorumLost{}, source(c))
	require.Equal(t, "2 of 3 etcd members refuse connections", seen.Detail)
	require.NoDirExists(t, c.Members()[0].DataDir)
	require.NoDirExists(t, c.Members()[1].DataDir)
	require.DirExists(t, c.Members()[2].DataDir)
	require.True(t, c.Component("etcd-2").Running())
}

// leads is the index of the member that the first one takes for the leader.
func leads(t *testing.T, c clusters.Cluster) int {
	t.Helper()
	client, err := etcd.Connect(c.Store().Endpoints, c.Store().TLS)
	require.NoError(t, err)
	defer client.Close()
	var leader uint64
	require.Eventually(t, func() bool {
		status, err := client.Status(t.Context(), c.Store().Endpoints[0])
		if err == nil {
			leader = status.Leader
		}
		return leader != 0
	}, patience, tick)
	for i, endpoint := range c.Store().Endpoints {
		status, err := client.Status(t.Context(), endpoint)
		require.NoError(t, err)
		if status.Header.MemberId == leader {
			return i
		}
	}
	t.Fatalf("no member is %x", leader)
	return 0
}

// sabotage of a restored cluster, which here is one that was never lost.
func sabotage(t *testing.T, c clusters.Cluster) {
	scene := &faults.Scene{Restored: c, LedgerNamespace: ledger.Namespace}
	client := kubernetes.NewForConfigOrDie(c.Config())
	for _, namespace := range []string{"shop", ledger.Namespace} {
		_, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	configMap := func(namespace, name string) {
		_, err := client.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"LOG_LEVEL": "info"},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	strike := func(name string) faults.Sighting { return faulttest.Strike(t, faults.Catalogue()[name](), scene) }

	// What is not there cannot be changed, and is no sign of a change.
	for _, name := range []string{"field-changed", "secret-changed"} {
		_, err := faults.Catalogue()[name]().Visible(t.Context(), scene)
		require.ErrorContains(t, err, "is not there")
	}
	configMap("shop", "web-settings")
	_, err := client.CoreV1().Secrets("shop").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "orders-db"}, StringData: map[string]string{"password": "correct horse"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)

	require.Equal(t, `field /data/LOG_LEVEL of ConfigMap shop/web-settings is "sabotaged"`, strike("field-changed").Detail)
	require.Equal(t, "ConfigMap shop/web-settings is not there", strike("object-deleted").Detail)
	require.Equal(t, "key password of Secret shop/orders-db has the substituted value", strike("secret-changed").Detail)
	require.Contains(t, strike("rolebinding-added").Detail, "grants admin to user intruder")

	configMap("shop", "held")
	_, err = client.CoreV1().ConfigMaps("shop").Patch(t.Context(), "held", types.MergePatchType,
		[]byte(`{"metadata":{"finalizers":["shop.example.com/nobody"]}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	held := &faults.ObjectDeleted{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Object: "held", At: "restored", Held: true}
	require.Equal(t, "ConfigMap shop/held is being deleted, and there", faulttest.Strike(t, held, scene).Detail)
	held.Object = "web-settings"
	_, err = held.Visible(t.Context(), scene)
	require.EqualError(t, err, "ConfigMap shop/web-settings is not there: no finalizer held it")

	hole := &faults.LedgerHole{}
	require.EqualError(t, hole.Inject(t.Context(), scene), "namespace "+ledger.Namespace+" holds 0 writes of one writer: a hole needs three")
	for i := range 5 {
		configMap(ledger.Namespace, fmt.Sprintf("core-%06d", i+1))
	}
	configMap(ledger.Namespace, "update")
	configMap(ledger.Namespace, "delete-000001")
	require.Equal(t, "between core-000002 and core-000004, 1 are missing", strike("ledger-hole").Detail)

	custom := &faults.ObjectDeleted{APIVersion: "shop.example.com/v1", Kind: "Widget", Namespace: "shop", Object: "x", At: "restored"}
	_, err = custom.Visible(t.Context(), scene)
	require.ErrorContains(t, err, "look up shop.example.com/v1 Widget")
	cluster := &faults.ObjectDeleted{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Object: "view", At: "restored"}
	require.Equal(t, "ClusterRole view is not there", faulttest.Strike(t, cluster, scene).Detail)
}
