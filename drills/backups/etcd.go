package backups

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/restore-drill/restore-drill/drills/clusters"
	"github.com/restore-drill/restore-drill/internal/etcd"
	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/internal/pki"
	"github.com/restore-drill/restore-drill/internal/shell"
)

// NewEtcd makes the method that backs up the store itself: a snapshot of one etcd member, and the key material without which nobody can
// use it.
func NewEtcd() Method { return etcdMethod{} }

type etcdMethod struct{}

func (etcdMethod) Name() string        { return "etcd" }
func (etcdMethod) RestoresStore() bool { return true }

// The store needs no preparation, and nothing is left running.
func (etcdMethod) Check(context.Context) error                     { return nil }
func (etcdMethod) Prepare(context.Context, clusters.Cluster) error { return nil }
func (etcdMethod) Close(context.Context) error                     { return nil }

// settleTimeout bounds the API server's own tidying up after its start, which it does every ten seconds until it succeeds.
const settleTimeout = 2 * time.Minute

func (m etcdMethod) Backup(ctx context.Context, source clusters.Cluster, dir string) (_ *Artifact, err error) {
	if err := claim(dir); err != nil {
		return nil, fmt.Errorf("back up cluster %s: %w", source.Name(), err)
	}
	// What is no artifact is nothing: half a backup must not be taken for one.
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("back up cluster %s: %w", source.Name(), err), os.RemoveAll(dir))
			if errors.Is(err, etcd.ErrDivergent) {
				err = &ClaimError{evidence.Refused, err}
			}
		}
	}()
	began := time.Now()
	spec := source.Spec()
	a := &Artifact{
		Dir: dir, Name: filepath.Base(dir), Method: m.Name(), Taken: began.UTC(), Files: map[string]File{}, Facts: map[string]string{},
		Version: spec.Version, EtcdMembers: spec.EtcdMembers, Encryption: spec.Encryption, Claim: evidence.Completed,
	}
	if err := a.takeSnapshot(ctx, source.Store()); err != nil {
		return nil, err
	}
	material, err := source.Material(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.takeMaterial(material); err != nil {
		return nil, err
	}
	a.Seconds = time.Since(began).Seconds()
	return a, a.Finish()
}

// claim makes dir, or takes an empty one.
func claim(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("directory %s is not empty", dir)
	}
	return os.Chmod(dir, 0o700)
}

// takeSnapshot from one member, and has it confirmed by the others that it is what they hold too.
func (a *Artifact) takeSnapshot(ctx context.Context, store clusters.Store) error {
	endpoint, current, err := choose(ctx, store)
	if err != nil {
		return err
	}
	digest := newDigester()
	file := filepath.Join(a.Dir, snapshotFile)
	stream, err := etcd.Snapshot(ctx, endpoint, store.TLS, file, digest)
	if err != nil {
		return err
	}
	content, err := etcd.Inspect(ctx, file)
	if err != nil {
		return err
	}
	if content.Revision < current {
		return fmt.Errorf("snapshot from %s is of revision %d, and the store was at %d before it was taken", endpoint, content.Revision, current)
	}
	agreement, err := etcd.Agree(ctx, store.Endpoints, store.TLS, content.Revision)
	if err != nil {
		return err
	}
	servers, err := etcd.APIServers(ctx, store.Endpoints, store.TLS)
	if err != nil {
		return err
	}
	a.Files[snapshotFile] = digest.File()
	a.Revision = content.Revision
	a.Facts["endpoint"] = endpoint
	a.Facts["clusterID"] = strconv.FormatUint(stream.ClusterID, 16)
	a.Facts["memberID"] = strconv.FormatUint(stream.MemberID, 16)
	a.Facts["etcdVersion"] = stream.Version
	a.Facts["keys"] = strconv.Itoa(content.Keys)
	a.Facts["bytes"] = strconv.FormatInt(content.Bytes, 10)
	a.Facts["apiServers"] = strings.Join(servers, " ")
	a.Facts["compactedRevision"] = strconv.FormatInt(content.Compacted, 10)
	a.Facts["hashKV"] = fmt.Sprintf("%08x at revision %d", agreement.Hash, agreement.Revision)
	a.Facts["membersAgreeing"] = fmt.Sprintf("%d of %d", len(agreement.Members), len(store.Endpoints))
	return nil
}

// choose a member that is in touch with the others, the first that answers, with the revision that the store has reached.
func choose(ctx context.Context, store clusters.Store) (endpoint string, revision int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		endpoint string
		revision int64
		err      error
	}
	answers := make(chan answer, len(store.Endpoints))
	for _, endpoint := range store.Endpoints {
		go func() {
			revision, err := etcd.Revision(ctx, endpoint, store.TLS)
			answers <- answer{endpoint, revision, err}
		}()
	}
	var errs []error
	for range store.Endpoints {
		a := <-answers
		if a.err == nil {
			return a.endpoint, a.revision, nil
		}
		errs = append(errs, a.err)
	}
	return "", 0, fmt.Errorf("no member to take a snapshot from: %w", errors.Join(errs...))
}

func (a *Artifact) takeMaterial(material fs.FS) error {
	return fs.WalkDir(material, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(material, name)
		if err != nil {
			return fmt.Errorf("read key material: %w", err)
		}
		return a.Keep(path.Join(materialDir, name), content)
	})
}

// Restore follows the order that kubernetes.io gives: every member of the store anew from the same snapshot, as a new cluster; then the API
// server; then the controllers.
func (m etcdMethod) Restore(ctx context.Context, a *Artifact, target clusters.Cluster, opts RestoreOptions) (string, error) {
	r := &etcdRestore{Artifact: a, target: target, RestoreOptions: opts.withDefaults()}
	err := r.run(ctx)
	if errors.Is(err, ErrRefused) {
		err = &ClaimError{evidence.Refused, err}
	}
	if err != nil {
		return "", fmt.Errorf("restore artifact %s into cluster %s: %w", a.Name, target.Name(), err)
	}
	return evidence.Completed, nil
}

// step does something that is told as an operation of its own. The context that it does it in tells which.
func (r *etcdRestore) step(ctx context.Context, name, detail string, do func(ctx context.Context) error) error {
	return r.RestoreOptions.step(name, detail, func() error { return do(evidence.WithStep(ctx, name)) })
}

type etcdRestore struct {
	*Artifact
	RestoreOptions
	target clusters.Cluster
	// stale is what was dropped of the lost control plane's leases.
	stale etcd.Dropped
}

func (r *etcdRestore) run(ctx context.Context) error {
	if r.Snapshot() == "" {
		return fmt.Errorf("the artifact, of method %q, has no etcd snapshot", r.Method)
	}
	if err := r.step(ctx, "check key material", "what of it is missing, unfit or expired, before anything is restored", func(ctx context.Context) error { return r.checkMaterial(ctx) }); err != nil {
		return err
	}
	if err := r.vacate(ctx); err != nil {
		return err
	}
	if err := r.makeStore(ctx); err != nil {
		return err
	}
	starting, stop := context.WithCancel(ctx)
	defer stop()
	var unfit, unretired error // the calls may overlap
	started := r.step(starting, "start the control plane", "the store, the API server, and the controllers once the store is tidied", func(ctx context.Context) error {
		return r.target.Start(ctx, func(mark, how string, resolution time.Duration) {
			r.Reached(mark, how, resolution)
			switch mark {
			case evidence.MarkStoreServing:
				if unfit = r.tidy(ctx); unfit != nil {
					stop()
				}
			case evidence.MarkAPIReady:
				if unretired = r.retireNodes(ctx); unretired != nil {
					stop()
				}
			}
		})
	})
	if err := errors.Join(unfit, unretired); err != nil {
		return err
	}
	if started != nil {
		return started
	}
	return r.step(ctx, "default/kubernetes", "no API server that is gone may be left in it", func(ctx context.Context) error { return r.awaitEndpoints(ctx) })
}

// checkMaterial refuses an artifact whose key material nobody could run its cluster with, though all its digests may be right.
func (r *etcdRestore) checkMaterial(ctx context.Context) error {
	_, err := pki.Read(r.Material())
	if r.Encryption != "" {
		config, unfit := pki.ReadFile(r.Material(), encryptionFile)
		switch {
		case unfit == nil:
			unfit = checkEncryption(ctx, r.Snapshot(), config)
		case errors.Is(unfit, fs.ErrNotExist):
			unfit = fmt.Errorf("%s is missing: nobody can read the snapshot's Secrets, which are encrypted (%s)", encryptionFile, r.Encryption)
		}
		err = errors.Join(err, unfit)
	}
	if err != nil {
		return fmt.Errorf("%w: %s", ErrRefused, strings.NewReplacer(":\n", ": ", "\n", "; ").Replace(err.Error()))
	}
	return nil
}

// makeStore lays the restored data and the key material in place. The artifact's own digests and etcdutl each judge the artifact by
// themselves, at the same time, and a refusal tells what both said.
func (r *etcdRestore) makeStore(ctx context.Context) error {
	work, err := os.MkdirTemp(r.target.StateDir(), "restore-")
	if err != nil {
		return fmt.Errorf("make room for the restored data: %w", err)
	}
	if !r.Procedure.OtherDirectory {
		defer os.RemoveAll(work)
	}
	members := r.members(work)
	var bump uint64 = etcd.RevisionBump
	if r.Procedure.KeepRevision {
		bump = 0
	}

	var (
		wg                     sync.WaitGroup
		digests, tool, laidOut error
	)
	wg.Go(func() {
		digests = r.step(ctx, evidence.StepVerify, "digests of all files, as recorded when it was taken", func(ctx context.Context) error { return r.Verify(ctx) })
		if digests == nil {
			r.Reached(evidence.MarkArtifactOK, "the SHA-256 of every file is the recorded one", 0)
		}
	})
	wg.Go(func() {
		tool = r.step(ctx, "restore etcd", fmt.Sprintf("etcdutl, %d members, revision bump %d", len(members), bump), func(ctx context.Context) error {
			token := "restore-drill-" + strings.ToLower(rand.Text())
			err := etcd.Restore(ctx, r.Snapshot(), members, token, bump)
			for i := range members {
				r.Ran(ctx, clusters.ThisMachine, shell.Join(etcd.RestoreCommand(r.Snapshot(), members, i, token, bump)...))
			}
			return err
		})
	})
	wg.Go(func() {
		if r.replaces() {
			return // it is there
		}
		laidOut = r.step(ctx, "lay in key material", "certificates for the new addresses under the restored authorities", func(ctx context.Context) error {
			return r.target.LayIn(ctx, r.Material())
		})
	})
	wg.Wait()
	if err := refusal(digests, tool); err != nil {
		return err
	}
	if err := errors.Join(digests, tool, laidOut); err != nil {
		return err
	}
	if err := r.step(ctx, "lay the data in place", "each member's restored directory, in one rename", func(ctx context.Context) error { return r.layInPlace(ctx, members) }); err != nil {
		return err
	}
	r.Reached(evidence.MarkStoreRestored, "every member's data directory was renamed into place", 0)
	return nil
}

// layInPlace renames the restored directories to where the members look for them.
func (r *etcdRestore) layInPlace(ctx context.Context, members []etcd.Member) error {
	if r.Procedure.OtherDirectory {
		return nil
	}
	if r.replaces() {
		if err := r.moveAside(ctx); err != nil {
			return err
		}
	}
	for _, m := range members {
		if err := r.target.SeedStore(ctx, m.Name, m.Dir); err != nil {
			return err
		}
	}
	return nil
}

// members of the target, each restored beside its place first: half a data directory never gets there.
func (r *etcdRestore) members(work string) []etcd.Member {
	var members []etcd.Member
	for _, m := range r.target.Members() {
		members = append(members, etcd.Member{Name: m.Name, PeerURL: m.PeerURL, Dir: filepath.Join(work, m.Name)})
	}
	if other := r.Procedure.LastMember; other != nil {
		members[len(members)-1].File = other.Snapshot()
	}
	return members
}

// refusal says what each of the two said, when one of them found the artifact unfit. Trouble around them is none.
func refusal(digests, tool error) error {
	if !errors.Is(digests, ErrDamaged) && !errors.Is(tool, etcd.ErrRefused) {
		return nil
	}
	if digests == nil {
		digests = errors.New("nothing to object to")
	}
	if tool == nil {
		tool = errors.New("nothing to object to")
	}
	return fmt.Errorf("%w: by etcdutl: %w; by the recorded digests: %w", ErrRefused, tool, digests)
}

// tidy sees to it that the store is one store, and drops from it what nobody may take for the new control plane's.
func (r *etcdRestore) tidy(ctx context.Context) error {
	if err := r.step(ctx, "compare members", "they have to hold the same data before anybody works with it", func(ctx context.Context) error { return r.compareMembers(ctx) }); err != nil {
		return err
	}
	return r.step(ctx, "drop stale leases", "of API servers and leaders that are gone", func(ctx context.Context) error { return r.dropStaleLeases(ctx) })
}

// compareMembers, all of them: the odd one may be the last to serve. etcd's own check at their start lets members pass whose histories begin at
// different revisions, which is what raising the revision of different snapshots makes of them.
func (r *etcdRestore) compareMembers(ctx context.Context) error {
	members, err := r.membersOfTarget()
	if err != nil || len(members) == 1 {
		return err
	}
	store := r.target.Store()
	var revision int64
	for i, endpoint := range store.Endpoints {
		for revision, err = etcd.Revision(ctx, endpoint, store.TLS); err != nil; revision, err = etcd.Revision(ctx, endpoint, store.TLS) {
			if !members[i].Running() {
				return fmt.Errorf("%s ended: %w", members[i].Name(), err)
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("wait for %s to serve: %w: %w", members[i].Name(), context.Cause(ctx), err)
			case <-time.After(startPoll):
			}
		}
	}
	_, err = etcd.Agree(ctx, store.Endpoints, store.TLS, revision)
	return err
}

func (r *etcdRestore) dropStaleLeases(ctx context.Context) (err error) {
	store := r.target.Store()
	drop := etcd.DropStaleLeases
	if r.Procedure.KeepAPIServers {
		drop = etcd.OrphanAPIServers
	}
	r.stale, err = drop(ctx, store.Endpoints, store.TLS)
	if !r.Procedure.KeepAPIServers {
		for _, key := range etcd.StaleKeys() {
			r.Ran(ctx, clusters.ThisMachine, shell.Join("etcdctl", "--endpoints", strings.Join(store.Endpoints, ","), "del", "--prefix", key))
		}
	}
	return err
}

// awaitEndpoints returns when default/kubernetes names no API server of the lost control plane, which the new one sees to once it runs. An
// address that is in use again, as on a machine that has been cleaned, is not stale.
func (r *etcdRestore) awaitEndpoints(ctx context.Context) error {
	if len(r.stale.APIServers) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	store := r.target.Store()
	serving, err := etcd.AwaitAPIServers(ctx, store.Endpoints, store.TLS)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(r.target.Config())
	if err != nil {
		return err
	}
	var gone []string
	named := fields.OneTermEqualSelector(metav1.ObjectNameField, "kubernetes")
	list := cache.NewListWatchFromClient(client.DiscoveryV1().RESTClient(), "endpointslices", metav1.NamespaceDefault, named)
	_, err = watchtools.UntilWithSync(ctx, list, &discoveryv1.EndpointSlice{}, nil, func(event watch.Event) (bool, error) {
		gone = nil
		for _, endpoint := range event.Object.(*discoveryv1.EndpointSlice).Endpoints {
			for _, address := range endpoint.Addresses {
				if slices.Contains(r.stale.APIServers, address) && !slices.Contains(serving, address) {
					gone = append(gone, address)
				}
			}
		}
		return event.Type != watch.Deleted && len(gone) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("wait for default/kubernetes to name the API server at %v instead of %v: %w", serving, gone, err)
	}
	return nil
}
