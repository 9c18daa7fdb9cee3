package backups

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	velerov1 "github.com/vmware-tanzu/velero/pkg/apis/velero/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/objectstore"
	"github.com/restore-drill/restore-drill/internal/velero"
	"github.com/restore-drill/restore-drill/scenarios"
)

// Velero backs objects up through the API into a bucket, and makes them anew from there. Its servers run beside the clusters, one for each, on
// one store that belongs to the drill.
type Velero struct {
	layer Layer
	env   Env

	store *objectstore.Store
	// password of the repository that volumes are backed up into.
	password []byte
	servers  map[string]*velero.Server
	// taken and restored count the operations that were begun.
	taken, restored int
}

// NewVelero makes the method of a layer.
func NewVelero(layer Layer, env Env) (Method, error) {
	m := &Velero{layer: layer, env: env, servers: map[string]*velero.Server{}}
	if m.env.Progress == nil {
		m.env.Progress = func(string) {}
	}
	if m.env.During == nil {
		m.env.During = func(context.Context, string) error { return nil }
	}
	// What does not convert is a mistake of the scenario, or of this program, and comes out before there is a cluster.
	_, errBackup := backupSpec(layer.Backup.Velero)
	_, errRestore := restoreSpec(layer.Velero)
	return m, errors.Join(errBackup, errRestore)
}

func (m *Velero) Name() string        { return "velero" }
func (m *Velero) RestoresStore() bool { return false }

// Components of the toolchain that it needs.
const (
	veleroName       = "velero"
	veleroPluginName = "velero-plugin-for-aws"
	gatewayName      = "versitygw"
)

func (m *Velero) Check(ctx context.Context) error {
	if m.inCluster() {
		return objectstore.CheckImage(ctx)
	}
	_, err := m.env.Toolchain.FindAll(ctx, "", veleroName, veleroPluginName, gatewayName)
	return err
}

// inCluster tells whether the clusters have machines: then the server runs in them, and the store in a container beside them.
func (m *Velero) inCluster() bool { return m.env.Network != "" }

// Images that its pods run.
func (m *Velero) Images() []string {
	if !m.inCluster() {
		return nil
	}
	return []string{velero.ServerImage, velero.PluginImage}
}

// Store is where the backups lie, once Prepare was called; faults damage and stop it.
func (m *Velero) Store() *objectstore.Store { return m.store }

// Died delivers an error when the store ends that nobody stopped.
func (m *Velero) Died() <-chan error { return m.store.Died() }

// Server is the one beside the cluster of that name; nil while none runs there.
func (m *Velero) Server(cluster string) *velero.Server { return m.servers[cluster] }

func (m *Velero) logDir() string { return filepath.Join(m.env.RunDir, evidence.LogsDir, m.Name()) }

func (m *Velero) Prepare(ctx context.Context, source clusters.Cluster) error {
	if err := os.MkdirAll(m.logDir(), 0o700); err != nil {
		return fmt.Errorf("prepare velero: %w", err)
	}
	store, err := objectstore.Start(ctx, objectstore.Options{
		Toolchain: m.env.Toolchain, StateRoot: m.env.StateRoot, DrillID: m.env.DrillID, Network: m.env.Network, LogDir: m.logDir(), Progress: m.env.Progress,
	})
	if err != nil {
		return err
	}
	m.store = store
	m.password = []byte(rand.Text())
	// The server starts with the first backup: one that has run since before there was anything to back up would not know all of it.
	_, err = m.install(ctx, source, nil, m.password)
	return err
}

// install prepares a server in or beside a cluster. The password is that of the repository of volumes, as kept with a backup; nil where it was not.
func (m *Velero) install(ctx context.Context, cluster clusters.Cluster, flags map[string]string, password []byte) (*velero.Server, error) {
	var programs [2]string
	if !m.inCluster() {
		found, err := m.env.Toolchain.FindAll(ctx, "", veleroName, veleroPluginName)
		if err != nil {
			return nil, err
		}
		programs = [2]string{found[0].Path, found[1].Path}
	}
	access, secret := m.store.Credentials()
	server, err := velero.Install(ctx, velero.Options{
		Name: "velero-" + cluster.Name(), StateRoot: m.env.StateRoot, DrillID: m.env.DrillID,
		InCluster: m.inCluster(), RepositoryPassword: password,
		Server: programs[0], Plugin: programs[1], Config: cluster.Config(), Kubeconfig: cluster.Kubeconfig(),
		Store: velero.Store{
			Endpoint: m.store.Endpoint(), Bucket: m.store.Bucket(), Region: m.store.Region(), CA: m.store.CA(), AccessKey: access, SecretKey: secret,
		},
		Flags: flags, LogFile: filepath.Join(m.logDir(), "server-"+cluster.Name()+".log"),
	})
	if err != nil {
		return nil, fmt.Errorf("for cluster %s: %w", cluster.Name(), err)
	}
	m.servers[cluster.Name()] = server
	return server, nil
}

func (m *Velero) Close(ctx context.Context) error {
	var errs []error
	for _, s := range m.servers {
		errs = append(errs, s.Close(ctx))
	}
	if m.store != nil {
		errs = append(errs, m.store.Close(ctx))
	}
	return errors.Join(errs...)
}

// Backup has the artifact's name in Velero too.
func (m *Velero) Backup(ctx context.Context, source clusters.Cluster, dir string) (_ *Artifact, err error) {
	if err := claim(dir); err != nil {
		return nil, fmt.Errorf("back up cluster %s: %w", source.Name(), err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("back up cluster %s: %w", source.Name(), err), os.RemoveAll(dir))
		}
	}()
	server := m.servers[source.Name()]
	if server == nil {
		return nil, errors.New("velero does not run there: it was not prepared")
	}
	if err := server.Start(ctx); err != nil {
		return nil, err
	}
	began := time.Now()
	spec := source.Spec()
	a := &Artifact{
		Dir: dir, Name: filepath.Base(dir), Method: m.Name(), Taken: began.UTC(), Files: map[string]File{},
		Version: spec.Version, EtcdMembers: spec.EtcdMembers, Encryption: spec.Encryption, Window: &Window{},
	}
	if _, a.Window.From, err = choose(ctx, source.Store()); err != nil {
		return nil, err
	}
	ctx, release := server.Guard(ctx)
	defer release()
	done, err := m.takeBackup(ctx, server, a.Name)
	if err != nil {
		return nil, err
	}
	if _, a.Window.To, err = choose(ctx, source.Store()); err != nil {
		return nil, err
	}
	if err := m.record(ctx, a, done); err != nil {
		return nil, err
	}
	a.Seconds = time.Since(began).Seconds()
	if err := m.keepPassword(a); err != nil {
		return nil, err
	}
	return a, a.Finish()
}

// PasswordFile of an artifact holds the password of the repository that its volumes lie in. Velero does not back it up: whoever lost it with the cluster
// cannot read a byte of them.
const PasswordFile = "repository-password"

// keepPassword with the artifact.
func (m *Velero) keepPassword(a *Artifact) error {
	if !m.inCluster() {
		return nil
	}
	return a.Keep(PasswordFile, m.password)
}

// passwordOf the repository as it was kept with the artifact; nil where it was not.
func passwordOf(a *Artifact) ([]byte, error) {
	password, err := os.ReadFile(filepath.Join(a.Dir, PasswordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return password, err
}

// takeBackup has Velero take one, of the given name unless its Schedule names it, and returns it as it is at its end.
func (m *Velero) takeBackup(ctx context.Context, server *velero.Server, name string) (*velerov1.Backup, error) {
	spec, err := backupSpec(m.layer.Backup.Velero)
	if err != nil {
		return nil, err
	}
	o := operation{kind: "backup", name: name, n: m.taken, during: m.env.During}
	m.taken++
	meta := metav1.ObjectMeta{Namespace: velero.Namespace, Name: name}
	watched := name
	if schedule := scheduleOf(m.layer.Backup.Velero); schedule != "" {
		watched = ""
		err = takeSchedule(ctx, server, &velerov1.Schedule{
			ObjectMeta: meta, Spec: velerov1.ScheduleSpec{Schedule: schedule, Template: spec},
			// One that has missed its time is due now; Velero would wait for the next.
			Status: velerov1.ScheduleStatus{LastBackup: &metav1.Time{Time: time.Unix(0, 0)}},
		})
	} else {
		err = server.Create(ctx, velero.Backups, &velerov1.Backup{ObjectMeta: meta, Spec: spec})
	}
	if err != nil {
		return nil, err
	}
	var last *velerov1.Backup
	err = velero.Watch(ctx, server.Client, velero.Backups, watched, func(b *velerov1.Backup, gone bool) (bool, error) {
		if watched == "" && (b.Labels[velerov1.ScheduleNameLabel] != name || last != nil && last.Name != b.Name) {
			return false, nil
		}
		last = b
		progress := cmp.Or(b.Status.Progress, &velerov1.BackupProgress{})
		return o.see(ctx, sight{
			phase: string(b.Status.Phase), items: progress.TotalItems, handled: progress.ItemsBackedUp, gone: gone,
			reasons: append(b.Status.ValidationErrors, b.Status.FailureReason),
		})
	})
	if last != nil {
		o.name = last.Name
	}
	return last, m.conclude(&o, err)
}

// takeSchedule returns when the server has taken a Schedule for good.
func takeSchedule(ctx context.Context, server *velero.Server, s *velerov1.Schedule) error {
	if err := server.Create(ctx, velero.Schedules, s); err != nil {
		return err
	}
	return velero.Watch(ctx, server.Client, velero.Schedules, s.Name, func(s *velerov1.Schedule, gone bool) (bool, error) {
		if gone || s.Status.Phase == velerov1.SchedulePhaseFailedValidation {
			return false, &ClaimError{evidence.FailedValidation, fmt.Errorf("velero's schedule %s is %s: %s", s.Name, s.Status.Phase, strings.Join(s.Status.ValidationErrors, "; "))}
		}
		return s.Status.Phase == velerov1.SchedulePhaseEnabled, nil
	})
}

// record what lies in the bucket of the backup.
func (m *Velero) record(ctx context.Context, a *Artifact, b *velerov1.Backup) error {
	objects, err := m.store.Objects(ctx)
	if err != nil {
		return err
	}
	a.Objects = map[string]File{}
	for _, o := range objects {
		if strings.HasPrefix(o.Key, backupPrefix(b.Name)) {
			a.Objects[o.Key] = File{Bytes: o.Size, SHA256: o.SHA256}
		}
	}
	for _, file := range []string{"velero-backup.json", b.Name + ".tar.gz"} {
		if _, ok := a.Objects[backupPrefix(b.Name)+file]; !ok {
			return &ClaimError{evidence.Missing, fmt.Errorf("velero says %s of backup %s, and the bucket has no %s of it", b.Status.Phase, b.Name, file)}
		}
	}
	a.Claim = veleroClaims[string(b.Status.Phase)]
	a.Facts = map[string]string{
		"backup": b.Name, "items": strconv.Itoa(cmp.Or(b.Status.Progress, &velerov1.BackupProgress{}).ItemsBackedUp),
		"warnings": strconv.Itoa(b.Status.Warnings), "errors": strconv.Itoa(b.Status.Errors), "format": b.Status.FormatVersion,
	}
	if b.Status.Expiration != nil {
		a.Facts["expires"] = b.Status.Expiration.UTC().Format(time.RFC3339)
	}
	return nil
}

// Restore has Velero find the backup in its bucket by itself, as it has to in a cluster that never saw it.
func (m *Velero) Restore(ctx context.Context, a *Artifact, target clusters.Cluster, opts RestoreOptions) (said string, err error) {
	said, err = m.restore(ctx, a, target, opts.withDefaults())
	if err != nil {
		return "", fmt.Errorf("restore artifact %s into cluster %s: %w", a.Name, target.Name(), err)
	}
	return said, nil
}

func (m *Velero) restore(ctx context.Context, a *Artifact, target clusters.Cluster, opts RestoreOptions) (string, error) {
	backup := a.Facts["backup"]
	if a.Method != m.Name() || backup == "" {
		return "", fmt.Errorf("the artifact, of method %q, names no backup of velero's", a.Method)
	}
	err := opts.step(evidence.StepVerify, "digests of its objects in the bucket, as recorded when it was taken", func() error { return m.verify(ctx, a) })
	switch {
	case err == nil:
		opts.Reached(evidence.MarkArtifactOK, "the SHA-256 of every object in the bucket is the recorded one", 0)
	case !errors.Is(err, ErrDamaged):
		return "", err
	}
	// Damage is on record; what it means is for Velero to say.
	if !opts.Running {
		if err := target.Start(ctx, opts.Reached); err != nil {
			return "", err
		}
		if err := opts.Empty(ctx); err != nil {
			return "", err
		}
	}
	server, flags := m.servers[target.Name()], serverFlags(m.layer.Velero)
	err = opts.step("start velero", "its API, its location and its server", func() (err error) {
		switch {
		case server == nil:
			password, err := passwordOf(a)
			if err != nil {
				return fmt.Errorf("read the repository's password: %w", err)
			}
			if server, err = m.install(ctx, target, flags, password); err != nil {
				return err
			}
		case len(flags) > 0:
			return server.Restart(ctx, flags)
		}
		return server.Start(ctx)
	})
	if errors.Is(err, velero.ErrUnavailable) {
		return "", &ClaimError{evidence.Missing, err}
	}
	if err != nil {
		return "", err
	}
	opts.Reached(evidence.MarkToolReady, "watch: the server has validated its BackupStorageLocation", 0)
	err = opts.step("find the backup", "velero lists its store and makes what it finds known in the cluster", func() error {
		found, err := server.AwaitBackup(ctx, backup)
		if err == nil && !found {
			err = &ClaimError{evidence.Missing, fmt.Errorf("velero has listed its store, and knows no backup %s", backup)}
		}
		return err
	})
	if err != nil {
		return "", err
	}
	opts.Reached(evidence.MarkBackupFound, "watch: the Backup is there, or the store was listed", 0)
	var said string
	err = opts.step("restore objects", "velero's Restore of backup "+backup, func() (err error) {
		said, err = m.restoreObjects(ctx, server, target, backup)
		return err
	})
	if err == nil {
		opts.Reached(evidence.MarkObjectsBack, "watch: velero says that the Restore is "+said, 0)
	}
	return said, err
}

// restoreObjects has Velero restore a backup that it knows, and returns what it says at the end.
func (m *Velero) restoreObjects(ctx context.Context, server *velero.Server, target clusters.Cluster, backup string) (string, error) {
	spec, err := restoreSpec(m.layer.Velero)
	if err != nil {
		return "", err
	}
	o := operation{kind: "restore", name: fmt.Sprintf("%s-%d", backup, m.restored), n: m.restored, during: m.env.During}
	m.restored++
	spec.BackupName = backup
	if modifiers := modifiersOf(m.layer.Velero); modifiers != "" {
		client, err := kubernetes.NewForConfig(target.Config())
		if err != nil {
			return "", err
		}
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: velero.Namespace, Name: o.name}, Data: map[string]string{"rules.yaml": modifiers}}
		if _, err := client.CoreV1().ConfigMaps(velero.Namespace).Create(ctx, cm, metav1.CreateOptions{}); err != nil {
			return "", fmt.Errorf("write resource modifiers: %w", err)
		}
		spec.ResourceModifier = &corev1.TypedLocalObjectReference{Kind: "configmap", Name: cm.Name}
	}
	ctx, release := server.Guard(ctx)
	defer release()
	r := &velerov1.Restore{ObjectMeta: metav1.ObjectMeta{Namespace: velero.Namespace, Name: o.name}, Spec: spec}
	if err := server.Create(ctx, velero.Restores, r); err != nil {
		return "", err
	}
	err = velero.Watch(ctx, server.Client, velero.Restores, o.name, func(r *velerov1.Restore, gone bool) (bool, error) {
		progress := cmp.Or(r.Status.Progress, &velerov1.RestoreProgress{})
		return o.see(ctx, sight{
			phase: string(r.Status.Phase), items: progress.TotalItems, handled: progress.ItemsRestored, gone: gone,
			reasons: append(r.Status.ValidationErrors, r.Status.FailureReason),
		})
	})
	err = m.conclude(&o, err)
	return veleroClaims[o.last.phase], err
}

// verify compares the artifact's record, and its objects in the bucket, with what was recorded.
func (m *Velero) verify(ctx context.Context, a *Artifact) error {
	objects, err := m.store.Objects(ctx)
	if err != nil {
		return err
	}
	now := map[string]File{}
	for _, o := range objects {
		now[o.Key] = File{Bytes: o.Size, SHA256: o.SHA256}
	}
	return errors.Join(a.Verify(ctx), a.verifyObjects(now))
}

// backupSpec in Velero's own type.
func backupSpec(s *scenarios.VeleroBackup) (velerov1.BackupSpec, error) {
	var spec velerov1.BackupSpec
	return spec, convert(s, &spec, "schedule")
}

func restoreSpec(s *scenarios.VeleroRestore) (velerov1.RestoreSpec, error) {
	var spec velerov1.RestoreSpec
	return spec, convert(s, &spec, "resourceModifiers", "server")
}

func scheduleOf(s *scenarios.VeleroBackup) string {
	if s == nil {
		return ""
	}
	return s.Schedule
}

// modifiersOf is the content of the ConfigMap that Velero reads; empty for none. JSON is YAML.
func modifiersOf(s *scenarios.VeleroRestore) string {
	if s == nil || len(s.ResourceModifiers) == 0 {
		return ""
	}
	b, err := json.Marshal(map[string]any{"version": "v1", "resourceModifierRules": s.ResourceModifiers})
	if err != nil {
		panic(err) // plain data
	}
	return string(b)
}

func serverFlags(s *scenarios.VeleroRestore) map[string]string {
	flags := map[string]string{}
	if s == nil || s.Server == nil {
		return flags
	}
	var given map[string]any
	if err := convert(s.Server, &given); err != nil {
		panic(err) // plain data
	}
	for name, value := range given {
		flags[name] = fmt.Sprint(value)
	}
	return flags
}

// convert what a scenario says into a type of Velero's, by the names that both have in JSON, leaving out the keys that are the scenario's
// own. A nil pointer says nothing.
func convert(from, into any, without ...string) error {
	b, err := json.Marshal(from)
	if err != nil {
		return err
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(b, &keys); err != nil {
		return err
	}
	for _, key := range without {
		delete(keys, key)
	}
	if b, err = json.Marshal(keys); err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("convert to %T: %w", into, err)
	}
	return nil
}
