package clusters

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/restore-drill/restore-drill/internal/proc"
)

const kubeletName = "kubelet"

// A kubelet is that of the control-plane machine, a unit of its init system.
type kubelet struct {
	cluster *kindCluster

	// turn is held while it is started or ended.
	turn sync.Mutex

	mu sync.Mutex
	// set says that kubeadm has configured it.
	set bool
	// pid within the machine, of the process that runs or ran last; 0 when none did.
	pid     string
	running bool
}

func (k *kubelet) Name() string           { return kubeletName }
func (k *kubelet) DataDir() string        { return "" }
func (k *kubelet) LogTail(n int) []string { return proc.Tail(k.cluster.logFile(kubeletName), n) }

func (k *kubelet) Running() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.running
}

func (k *kubelet) Identity() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pid == "" {
		return ""
	}
	return "pid " + k.pid + " on " + k.cluster.control().name
}

func (k *kubelet) lost() {
	k.mu.Lock()
	k.running = false
	k.mu.Unlock()
}

// Start starts it again; flags go into the file that its unit reads for that.
func (k *kubelet) Start(ctx context.Context, flags map[string]string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if k.Running() {
		return fmt.Errorf("start %s: it runs already (%s)", kubeletName, k.Identity())
	}
	if err := k.cluster.begin(ctx); err != nil {
		return fmt.Errorf("start %s: %w", kubeletName, err)
	}
	if err := k.start(ctx, flags); err != nil {
		return fmt.Errorf("start %s: %w", kubeletName, err)
	}
	return nil
}

// ensure starts it, if it does not run.
func (k *kubelet) ensure(ctx context.Context) error {
	if k.Running() {
		return nil
	}
	return k.start(ctx, nil)
}

func (k *kubelet) start(ctx context.Context, flags map[string]string) error {
	k.turn.Lock()
	defer k.turn.Unlock()
	if k.Running() {
		return nil
	}
	m := k.cluster.control()
	var words []string
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		words = append(words, "--"+name+"="+flags[name])
	}
	if len(words) > 0 || k.set {
		line := "KUBELET_EXTRA_ARGS=" + strings.Join(words, " ") + "\n"
		if _, err := m.Exec(ctx, strings.NewReader(line), "cp", "/dev/stdin", "/etc/default/kubelet"); err != nil {
			return err
		}
	}
	start := []string{"systemctl", "start", kubeletName}
	if !k.set {
		start = []string{"kubeadm", "init", "phase", "kubelet-start", "--config", kubeadmConfig}
	}
	if _, err := m.run(ctx, nil, start...); err != nil {
		return err
	}
	k.set = true
	pid, err := m.Exec(ctx, nil, "systemctl", "show", "--property", "MainPID", "--value", kubeletName)
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.pid, k.running = strings.TrimSpace(string(pid)), true
	k.mu.Unlock()
	return nil
}

// Stop and Kill end kubelet alone: what it started goes on running.
func (k *kubelet) Stop(ctx context.Context) error {
	if ctx.Err() != nil {
		return k.Kill(context.WithoutCancel(ctx))
	}
	return k.end(ctx, "systemctl", "stop", kubeletName)
}

func (k *kubelet) Kill(ctx context.Context) error {
	return k.end(ctx, "bash", "-c", "systemctl kill --signal=KILL kubelet; systemctl stop kubelet")
}

func (k *kubelet) end(ctx context.Context, argv ...string) error {
	k.turn.Lock()
	defer k.turn.Unlock()
	m := k.cluster.control()
	if !k.Running() || m.gone.Load() {
		return nil
	}
	if _, err := m.Exec(ctx, nil, argv...); err != nil && !m.gone.Load() {
		return fmt.Errorf("end %s: %w", kubeletName, err)
	}
	k.lost()
	return nil
}
