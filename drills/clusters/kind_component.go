package clusters

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/restore-drill/restore-drill/internal/place"
	"github.com/restore-drill/restore-drill/internal/proc"
)

// lookAgain is how often a component that is waited for is looked up, in case that the news of it was lost.
const lookAgain = time.Second

// endTimeout bounds how long a component that was killed may take to be gone.
const endTimeout = time.Minute

// A staticPod is a component that the kubelet of the control-plane machine runs for as long as its manifest is there. Kubelet starts it again when
// it ends by itself, which is told as a death nevertheless.
type staticPod struct {
	cluster *kindCluster
	// name of the component, and of its container and manifest.
	name, container string
	dataDir         string

	// turn is held while it is started or ended.
	turn sync.Mutex

	mu sync.Mutex
	// flags that replace kubeadm's or extend them.
	flags map[string]string
	// pod is kubeadm's manifest; nil before kubeadm has written it.
	pod *corev1.Pod
	// uid of the pod that was asked for last, and id and pid, within the machine, of the container that runs or ran last for it.
	uid types.UID
	id  string
	pid int
	// running is true between the container's start and its end; ending says that it ends because it was asked to, and failed that it ended though
	// nobody asked.
	running, ending, failed bool
	// changed is closed and replaced with every change.
	changed chan struct{}
}

func (c *kindCluster) layOutComponents() {
	add := func(name, container, dataDir string, flags map[string]string) {
		c.static = append(c.static, &staticPod{cluster: c, name: name, container: container, dataDir: dataDir, flags: flags, changed: make(chan struct{})})
	}
	m := c.Members()[0]
	add(m.Name, etcdName, nodeData, map[string]string{"name": m.Name, "initial-cluster": m.Name + "=" + m.PeerURL})
	server := map[string]string{}
	if c.spec.AuditLog {
		server["audit-policy-file"] = nodePKI + "/" + auditPolicy
		server["audit-log-path"] = nodeAudit + "/audit.log"
	}
	add(apiServerName, apiServerName, "", server)
	add(controllerManagerName, controllerManagerName, "", patient(map[string]string{}))
	add(schedulerName, schedulerName, "", patient(map[string]string{}))
	c.kubelet = &kubelet{cluster: c}
}

// encrypt tells the API server whether there is an encryption configuration.
func (c *kindCluster) encrypt(yes bool) {
	server := c.static[1]
	server.mu.Lock()
	defer server.mu.Unlock()
	delete(server.flags, "encryption-provider-config")
	if yes {
		server.flags["encryption-provider-config"] = nodePKI + "/" + encryptionCfg
	}
}

func (p *staticPod) Name() string           { return p.name }
func (p *staticPod) DataDir() string        { return p.dataDir }
func (p *staticPod) LogTail(n int) []string { return proc.Tail(p.cluster.logFile(p.name), n) }

func (p *staticPod) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running
}

func (p *staticPod) Identity() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.id == "" {
		return ""
	}
	return "container " + p.id[:min(12, len(p.id))] + " on " + p.cluster.control().name
}

// change alters the state under its lock, and tells everybody who waits.
func (p *staticPod) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// await returns when the state is as wanted. The state is kept up by events, and looked up in case one was lost.
func (p *staticPod) await(ctx context.Context, wanted func() bool) error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		p.mu.Lock()
		ok, changed := wanted(), p.changed
		p.mu.Unlock()
		if ok {
			return nil
		}
		if p.cluster.control().gone.Load() {
			return fmt.Errorf("machine %s is gone", p.cluster.control().name)
		}
		select {
		case <-changed:
		case <-tick.C:
			p.cluster.lookUp(ctx)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Start puts its manifest in place, and returns when the container runs.
func (p *staticPod) Start(ctx context.Context, flags map[string]string) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	running := p.running && !p.failed
	p.mu.Unlock()
	if running {
		return fmt.Errorf("start %s: it runs already (%s)", p.name, p.Identity())
	}
	if err := p.start(ctx, flags); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	return nil
}

func (p *staticPod) start(ctx context.Context, flags map[string]string) error {
	if err := p.cluster.begin(ctx); err != nil {
		return err
	}
	manifest, err := p.manifest(flags)
	if err != nil {
		return err
	}
	put := fmt.Sprintf("cat > %[1]s/.%[3]s && mv %[1]s/.%[3]s %[2]s/%[3]s.yaml", nodeParked, nodeManifests, p.container)
	if _, err := p.cluster.control().Exec(ctx, strings.NewReader(manifest), "bash", "-c", put); err != nil {
		return err
	}
	file := "/" + p.container + ".yaml"
	p.cluster.spec.ran(ctx, p.cluster.control().name, "mv", nodeParked+file, nodeManifests+file)
	if err := p.cluster.kubelet.ensure(ctx); err != nil {
		return err
	}
	return p.await(ctx, func() bool { return p.id != "" })
}

// manifest of a new pod, with flags for this one start. A pod of its own, by its UID, is not mistaken for the one before, which may still be ending.
func (p *staticPod) manifest(flags map[string]string) (string, error) {
	p.mu.Lock()
	if p.pod == nil {
		p.mu.Unlock()
		return "", errors.New("kubeadm has not written its manifest")
	}
	pod := p.pod.DeepCopy()
	all := maps.Clone(p.flags)
	p.mu.Unlock()
	maps.Copy(all, flags)
	setFlags(pod, all)
	if file, ok := all["audit-log-path"]; ok {
		addDirectory(pod, "audit", file[:strings.LastIndexByte(file, '/')])
	}
	pod.UID = types.UID(uuid.NewString())
	b, err := yaml.Marshal(pod)
	if err != nil {
		return "", err
	}
	p.change(func() { p.uid, p.id, p.pid, p.running, p.ending, p.failed = pod.UID, "", 0, false, false, false })
	return string(b), nil
}

// setFlags replaces flags of a pod's command, and adds those that are not there.
func setFlags(pod *corev1.Pod, flags map[string]string) {
	command := &pod.Spec.Containers[0].Command
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		flag := "--" + name + "=" + flags[name]
		i := slices.IndexFunc(*command, func(word string) bool { return strings.HasPrefix(word, "--"+name+"=") })
		if i < 0 {
			*command = append(*command, flag)
		} else {
			(*command)[i] = flag
		}
	}
}

// addDirectory gives a pod a directory of its machine, under the same path.
func addDirectory(pod *corev1.Pod, name, dir string) {
	kind := corev1.HostPathDirectoryOrCreate
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: dir, Type: &kind}}})
	c := &pod.Spec.Containers[0]
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: dir})
}

// Stop takes its manifest away and asks the container to end.
func (p *staticPod) Stop(ctx context.Context) error {
	if ctx.Err() != nil {
		return p.Kill(context.WithoutCancel(ctx))
	}
	err := p.end(ctx, "TERM")
	if err != nil && ctx.Err() != nil {
		return p.Kill(context.WithoutCancel(ctx))
	}
	if err != nil {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	return nil
}

// Kill takes its manifest away and ends the container at once.
func (p *staticPod) Kill(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	if err := p.end(ctx, "KILL"); err != nil {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	return nil
}

func (p *staticPod) end(ctx context.Context, signal string) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.mu.Lock()
	p.ending = true
	pid, running, asked := p.pid, p.running, p.uid != ""
	p.mu.Unlock()
	if !asked || p.cluster.control().gone.Load() {
		return nil
	}
	script := fmt.Sprintf("rm -f %s/%s.yaml", nodeManifests, p.container)
	if running {
		script += fmt.Sprintf("; kill -%s %d 2>/dev/null || true", signal, pid)
	}
	if _, err := p.cluster.control().Exec(ctx, nil, "bash", "-c", script); err != nil {
		if p.cluster.control().gone.Load() {
			return nil
		}
		return err
	}
	p.mu.Lock()
	p.failed = false
	p.mu.Unlock()
	err := p.await(ctx, func() bool { return !p.running })
	if p.cluster.control().gone.Load() {
		return nil
	}
	return err
}

// whileDown calls f, and nobody starts the component meanwhile. It is refused while it runs.
func (p *staticPod) whileDown(f func() error) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	if p.Running() {
		return fmt.Errorf("%s runs", p.name)
	}
	return f()
}

// lost takes note that it ended with its machine.
func (p *staticPod) lost() { p.change(func() { p.running, p.ending = false, true }) }

// began takes note that a container of the pod that was asked for runs. It is unwanted where kubelet has started it anew while it ends, which it does
// as long as it has not seen that the manifest is gone.
func (p *staticPod) began(id string, uid types.UID, pid int) (unwanted bool) {
	p.change(func() {
		if uid == p.uid && id != p.id {
			p.id, p.pid, p.running = id, pid, true
			unwanted = p.ending
		}
	})
	return unwanted
}

// ended takes note that a container ended. Logged is closed when the last of its log was read.
func (p *staticPod) ended(id string, status int, logged <-chan struct{}) {
	var death bool
	p.change(func() {
		if id == p.id && p.running {
			p.running = false
			death = !p.ending
			p.failed = death
		}
	})
	if death {
		go p.die(status, logged)
	}
}

// die tells of a death, with the last words.
func (p *staticPod) die(status int, logged <-chan struct{}) {
	select {
	case <-logged:
	case <-p.cluster.watching.Done():
		return
	}
	words := p.LogTail(logTail)
	if len(words) == 0 {
		words = []string{"(it logged nothing)"}
	}
	p.cluster.place.Lost(&place.Death{
		Component: p.name,
		// 137 and 143 are what SIGKILL, the kernel's for memory too, and SIGTERM make of it.
		Outside: slices.Contains([]int{0, 137, 143}, status),
		Words:   fmt.Sprintf("%s ended unasked: exit status %d; from %s:\n%s", p.name, status, p.cluster.logFile(p.name), strings.Join(words, "\n")),
	})
}
