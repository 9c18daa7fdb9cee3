package clusters

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/restore-drill/restore-drill/internal/doctor"
	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/pki"
	"github.com/restore-drill/restore-drill/internal/place"
)

// NewKind makes the provider whose clusters are kind's: each node is a container of docker or podman that boots an init system, with a real kubelet
// and containerd in it, and kubeadm sets the control plane up.
func NewKind(tools Tools) Provider {
	if tools.StateRoot == "" {
		tools.StateRoot = StateRoot()
	}
	tools.Network = kindNetwork()
	return &kindProvider{tools: tools, find: sync.OnceValues(engine.Find)}
}

type kindProvider struct {
	tools Tools
	find  func() (*engine.Engine, error)
}

func (p *kindProvider) Name() string { return "kind" }
func (p *kindProvider) Tools() Tools { return p.tools }

func (p *kindProvider) Limits() []string {
	return []string{
		"Nodes are containers of one machine: they share its kernel, disk, power and clock, and the network between them is a bridge on it, so the times are those of this machine.",
		"There is one control-plane node with one member of etcd: the loss of a quorum, or of one API server out of several, is not shown.",
		"Volumes are directories on a node's disk: snapshots by a storage driver, and volumes that outlive their node, are not shown.",
		"Images are brought to the nodes beforehand: the time that a recovery takes to pull them is not in the figures.",
		"No cloud stands behind the cluster: Services of type LoadBalancer get no address, and nodes are not replaced by themselves.",
	}
}

// kindNetwork is the engine's network that kind puts its nodes on.
func kindNetwork() string {
	if name := os.Getenv("KIND_EXPERIMENTAL_DOCKER_NETWORK"); name != "" {
		return name
	}
	return "kind"
}

// maxMachines bounds what one machine carries beside the other cluster of the drill.
const maxMachines = 3

// checkKind finds what kind could not make.
func (s Spec) checkKind() error {
	errs := []error{s.check()}
	if s.EtcdMembers == 3 {
		errs = append(errs, fmt.Errorf("3 etcd members on provider kind, whose clusters have one control-plane node: set cluster.etcdMembers to 1, or use --provider process: %w", ErrUnsupported))
	}
	if s.Nodes > maxMachines {
		errs = append(errs, fmt.Errorf("%d nodes on provider kind, each of which is a machine: set cluster.nodes to %d or less: %w", s.Nodes, maxMachines, ErrUnsupported))
	}
	_, err := s.kindConfig("drill", kindest(s), "127.0.0.1", host{})
	return errors.Join(append(errs, err)...)
}

// Check looks at this machine as "restore-drill doctor" does, and for every image: nothing is pulled.
func (p *kindProvider) Check(ctx context.Context, spec Spec) error {
	spec = p.defaults(spec)
	errs := []error{spec.checkKind()}
	if err := os.MkdirAll(p.tools.StateRoot, 0o700); err != nil {
		errs = append(errs, fmt.Errorf("%w: set RESTORE_DRILL_STATE_DIR to a directory that can be written to", err))
	}
	if err := doctor.Error(doctor.Machine(ctx)); err != nil {
		return errors.Join(append(errs, err)...)
	}
	e, err := p.find()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	return errors.Join(append(errs, missingImages(ctx, e, append([]string{kindest(spec)}, spec.Images...)))...)
}

// missingImages names every image that the engine does not have, and what brings it.
func missingImages(ctx context.Context, e *engine.Engine, refs []string) error {
	errs := make([]error, len(refs))
	var g errgroup.Group
	for i, ref := range refs {
		g.Go(func() error {
			image, err := e.Image(ctx, ref)
			if err == nil && image == nil {
				err = fmt.Errorf("%s has no image %s: run %s pull %s, or, where no registry can be reached, restore-drill images build", e.Name, ref, e.Name, ref)
			}
			errs[i] = err
			return nil
		})
	}
	_ = g.Wait() // each has its own
	return errors.Join(errs...)
}

func (p *kindProvider) defaults(spec Spec) Spec {
	if spec.Version == "" {
		spec.Version = defaultKubernetes
	}
	if p.tools.NodeImage != "" {
		spec.NodeImage = p.tools.NodeImage
	}
	return spec
}

// Create makes the machines, with key material on them, and starts nothing of Kubernetes.
func (p *kindProvider) Create(ctx context.Context, spec Spec) (Cluster, error) {
	spec, err := p.defaults(spec).complete(spec.checkKind(), 5*time.Minute)
	if err != nil {
		return nil, fmt.Errorf("create cluster %s: %w", spec.Name, err)
	}
	c, err := p.create(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("create cluster %s: %w", spec.Name, err)
	}
	return c, nil
}

func (p *kindProvider) create(ctx context.Context, spec Spec) (_ *kindCluster, err error) {
	e, err := p.find()
	if err != nil {
		return nil, err
	}
	c := &kindCluster{spec: spec, engine: e, logging: map[string]chan struct{}{}}
	if c.place, err = place.Claim(ctx, p.tools.StateRoot, spec.DrillID, spec.Name); err != nil {
		return nil, err
	}
	c.name = kindName(c.place.Dir(), spec.Name)
	c.watching, c.unwatch = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Delete(context.WithoutCancel(ctx)))
		}
	}()
	if err := errors.Join(os.MkdirAll(spec.LogDir, 0o700), os.Mkdir(c.place.Dir(workDir), 0o700)); err != nil {
		return nil, err
	}
	if err := c.makeMachines(ctx); err != nil {
		return nil, err
	}
	material, err := pki.Generate()
	if err != nil {
		return nil, err
	}
	var encryption []byte
	if spec.Encryption != "" {
		if encryption, err = newEncryption(spec.Encryption); err != nil {
			return nil, err
		}
	}
	return c, c.furnish(ctx, material, encryption)
}

// kindName is unique among all clusters of this machine, and short: containers and nodes are named after it, and a host name has 63 letters.
func kindName(dir, name string) string {
	sum := sha256.Sum256([]byte(dir))
	return "drill-" + hex.EncodeToString(sum[:4]) + "-" + strings.ToLower(name)
}
