package objectstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"

	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/place"
	"github.com/restore-drill/restore-drill/internal/proc"
)

// Image that the store runs from where it is a container: the same program as on this machine.
const Image = "versity/versitygw:v1.8.0"

const (
	// containerPort is where it serves within the engine's network.
	containerPort = 7070
	// stopGrace is how long a container gets to end by itself.
	stopGrace = 10 * time.Second
	// placeLabel is on the container, with the store's place for its value, which is no other store's.
	placeLabel = "restoredrill.io/place"
)

// A containerServer runs in a container on the clusters' network, with the place's directory for its disk. Its name in the network is the same for
// all of its life; on loopback it is published too, at a port that the engine chooses at each start.
type containerServer struct {
	place   *place.Place
	engine  *engine.Engine
	network string
	host    string
	args    []string
	user    string
	logFile string

	// turn is held while the container is made, started or ended.
	turn sync.Mutex

	mu        sync.Mutex
	container *testcontainers.DockerContainer
	// published is host:port on loopback, where it was last; started counts the starts, of which that of the ending one was asked to end.
	published       string
	started, ending int
	death           *place.Death
}

// quiet has testcontainers tell nobody of what it does, and leave the removal to us: the owner file finds the container after a SIGKILL, on machines
// too that cannot have the reaper's image.
var quiet = sync.OnceFunc(func() {
	tclog.SetDefault(tclog.NewNoopLogger())
	if _, set := os.LookupEnv("TESTCONTAINERS_RYUK_DISABLED"); !set {
		_ = os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true") // the name is one
	}
})

// hostOf is the store's name in the engine's network: a DNS label of its own for each drill.
func hostOf(drillID string) string {
	sum := sha256.Sum256([]byte(drillID))
	return "object-store-" + hex.EncodeToString(sum[:6])
}

// CheckImage tells whether the engine of this machine has Image.
func CheckImage(ctx context.Context) error {
	e, err := engine.Find()
	if err != nil {
		return err
	}
	image, err := e.Image(ctx, Image)
	if err == nil && image == nil {
		err = fmt.Errorf("%s has no image %s: run %[1]s pull %[2]s, or, where no registry can be reached, restore-drill images build", e.Name, Image)
	}
	return err
}

func newContainerServer(p *place.Place, o Options, logFile string) (*containerServer, error) {
	e, err := engine.Find()
	if err != nil {
		return nil, err
	}
	quiet()
	s := &containerServer{
		place: p, engine: e, network: o.Network, host: hostOf(o.DrillID), logFile: logFile, user: fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()),
		args: arguments(p, ":"+strconv.Itoa(containerPort)),
	}
	return s, p.Engine(e.Name, s.label())
}

func (s *containerServer) label() string { return placeLabel + "=" + s.place.Dir() }

func (s *containerServer) Name() string { return name }

func (s *containerServer) LogTail(n int) []string { return proc.Tail(s.logFile, n) }

func (s *containerServer) endpoint() string {
	return "https://" + net.JoinHostPort(s.host, strconv.Itoa(containerPort))
}

func (s *containerServer) address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.published
}

func (s *containerServer) hosts() []string { return []string{s.host, "127.0.0.1", "localhost"} }

// Running tells whether it runs now.
func (s *containerServer) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.container != nil && s.started > s.ending && s.death == nil
}

// Identity is the container's ID and the number of its start; empty when it never ran.
func (s *containerServer) Identity() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.container == nil {
		return ""
	}
	return fmt.Sprintf("container %.12s, start %d", s.container.GetContainerID(), s.started)
}

func (s *containerServer) Death() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.death == nil {
		return nil
	}
	return s.death
}

// serve makes the container, with these credentials in its environment, in the place of the one that there was.
func (s *containerServer) serve(ctx context.Context, env []string) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if err := s.remove(ctx); err != nil {
		return err
	}
	variables := map[string]string{"HOME": "/"}
	for _, e := range env {
		key, value, _ := strings.Cut(e, "=")
		variables[key] = value
	}
	key, value, _ := strings.Cut(s.label(), "=")
	dir := s.place.Dir()
	provider := testcontainers.ProviderDocker
	if s.engine.Name == "podman" {
		provider = testcontainers.ProviderPodman
	}
	made, err := testcontainers.Run(ctx, Image,
		testcontainers.WithProvider(provider), testcontainers.WithLogger(tclog.NewNoopLogger()), testcontainers.WithNoStart(),
		testcontainers.WithName("restore-drill-"+s.host), testcontainers.WithLabels(map[string]string{key: value}),
		testcontainers.WithEnv(variables), testcontainers.WithCmd(s.args...),
		testcontainers.WithExposedPorts(strconv.Itoa(containerPort)+"/tcp"),
		testcontainers.CustomizeRequestOption(func(r *testcontainers.GenericContainerRequest) error {
			r.Networks = []string{s.network}
			r.NetworkAliases = map[string][]string{s.network: {s.host}}
			return nil
		}),
		testcontainers.WithConfigModifier(func(c *container.Config) { c.User = s.user }),
		testcontainers.WithHostConfigModifier(func(c *container.HostConfig) {
			c.Binds = []string{dir + ":" + dir}
			c.PortBindings = network.PortMap{network.MustParsePort(strconv.Itoa(containerPort) + "/tcp"): {{HostIP: netip.MustParseAddr("127.0.0.1")}}}
		}),
	)
	if made != nil {
		s.mu.Lock()
		s.container = made
		s.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("make container of %s: %w", Image, err)
	}
	return s.start(ctx)
}

// Start starts it again. Flags come after those that it was made with: a container cannot be told others, so there must be none.
func (s *containerServer) Start(ctx context.Context, flags map[string]string) error {
	if len(flags) > 0 {
		return fmt.Errorf("start %s with %s: a container keeps its arguments", name, strings.Join(slices.Sorted(maps.Keys(flags)), ", "))
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.Running() {
		return fmt.Errorf("start %s: it runs already (%s)", name, s.Identity())
	}
	return s.start(ctx)
}

func (s *containerServer) start(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if s.container == nil {
		return fmt.Errorf("start %s: there is no container", name)
	}
	if err := s.container.Start(ctx); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	now, err := s.container.Inspect(ctx)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	if now.NetworkSettings.Networks[s.network] == nil {
		return fmt.Errorf("start %s: the container is not on the network %s: is it there?", name, s.network)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started++
	s.death = nil
	for _, bindings := range now.NetworkSettings.Ports {
		for _, b := range bindings {
			s.published = net.JoinHostPort("127.0.0.1", b.HostPort)
		}
	}
	go s.watch(s.container.GetContainerID(), s.started, now.State.StartedAt)
	return nil
}

// watch tells of the end of one start, where nobody asked for it.
func (s *containerServer) watch(id string, start int, since string) {
	// The engine answers when the container ends, or is removed.
	code, err := s.engine.Do(context.Background(), "wait", id)
	s.collect(id, since)
	s.mu.Lock()
	expected := s.ending >= start
	death := &place.Death{Component: name, Outside: err != nil || code == "137" || code == "143"}
	if !expected && s.started == start {
		s.death = death
	}
	s.mu.Unlock()
	if expected {
		return
	}
	ended := "exit code " + code
	if err != nil {
		ended = err.Error()
	}
	words := strings.Join(s.LogTail(12), "\n")
	if words == "" {
		words = "(it logged nothing)"
	}
	death.Words = fmt.Sprintf("%s ended unasked: %s; from %s:\n%s", name, ended, s.logFile, words)
	s.place.Lost(death)
}

// collect appends what one start of the container logged to the log file.
func (s *containerServer) collect(id, since string) {
	f, err := os.OpenFile(s.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	if err := s.engine.Stream(context.Background(), nil, f, f, "logs", "--since", since, id); err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintf(f, "(its log: %v)\n", err)
	}
}

// Stop asks it to end, and kills it when ctx ends first, or after a while.
func (s *containerServer) Stop(ctx context.Context) error {
	return s.end("stop", func() error {
		grace := stopGrace
		if deadline, ok := ctx.Deadline(); ok {
			grace = max(0, min(grace, time.Until(deadline)))
		}
		return s.container.Stop(context.WithoutCancel(ctx), &grace)
	})
}

// Kill ends it at once (SIGKILL).
func (s *containerServer) Kill(ctx context.Context) error {
	running := s.Running()
	return s.end("kill", func() error {
		if !running {
			return nil
		}
		id := s.container.GetContainerID()
		if _, err := s.engine.Do(ctx, "kill", id); err != nil {
			return err
		}
		_, err := s.engine.Do(ctx, "wait", id)
		return err
	})
}

func (s *containerServer) end(verb string, how func() error) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.mu.Lock()
	made := s.container
	s.ending = s.started
	s.mu.Unlock()
	if made == nil {
		return nil
	}
	if err := how(); err != nil {
		return fmt.Errorf("%s %s: %w", verb, name, err)
	}
	return nil
}

// remove the container, if there is one.
func (s *containerServer) remove(ctx context.Context) error {
	s.mu.Lock()
	made := s.container
	s.ending, s.container = s.started, nil
	s.mu.Unlock()
	if made == nil {
		return nil
	}
	return s.engine.Remove(ctx, engine.Containers, made.GetContainerID())
}

func (s *containerServer) close(ctx context.Context) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.remove(ctx)
}
