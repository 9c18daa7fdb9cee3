package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// answerTimeout bounds how long an engine may take to say what it is; one that hangs must not hang us.
const answerTimeout = 30 * time.Second

// The ways in which an engine that is installed does not serve us; an error of Info wraps one of them where it knows which.
var (
	ErrNotRunning = errors.New("the engine does not run")
	ErrNoRights   = errors.New("no rights on the engine's socket")
)

// Info is what an engine says of itself and of the machine that it runs on.
type Info struct {
	// Engine is docker or podman.
	Engine string
	// Version of the engine's server, 20.10.24 or 5.4.2, with what a distribution appends.
	Version string
	// CgroupVersion is 1 or 2.
	CgroupVersion int
	// CgroupDriver is cgroupfs or systemd.
	CgroupDriver string
	// Rootless tells whether it runs without root's rights.
	Rootless bool
	// Runtime that containers get by default: runc, crun ...
	Runtime string
	// Root is the directory in which it keeps images and containers.
	Root string
	// CPUs, and memory in bytes, that it has for containers.
	CPUs   int
	Memory int64
	// Architecture as GOARCH spells it, where it is one that Go knows.
	Architecture string
}

// dockerInfo and podmanInfo are what "info --format {{json .}}" prints, as far as we read it.
type dockerInfo struct {
	ServerVersion, CgroupVersion, CgroupDriver, DefaultRuntime, DockerRootDir, Architecture string
	NCPU                                                                                    int
	MemTotal                                                                                int64
	SecurityOptions, ServerErrors                                                           []string
}

type podmanInfo struct {
	Host struct {
		Arch, CgroupVersion, CgroupManager string
		CPUs                               int
		MemTotal                           int64
		OCIRuntime                         struct{ Name string }
		Security                           struct{ Rootless bool }
	}
	Store   struct{ GraphRoot string }
	Version struct{ Version string }
}

// Info asks the engine. The error says how to mend what keeps it from answering.
func (e *Engine) Info(ctx context.Context) (Info, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, fmt.Errorf("no answer within %s", answerTimeout))
	defer cancel()
	out, err := e.Do(ctx, "info", "--format", "{{json .}}")
	if err != nil {
		return Info{}, e.diagnose(err)
	}
	if e.Name == "podman" {
		return readPodman(out)
	}
	return e.readDocker(out)
}

func (e *Engine) readDocker(out string) (Info, error) {
	var d dockerInfo
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		return Info{}, fmt.Errorf("read what docker info prints: %w", err)
	}
	if len(d.ServerErrors) > 0 {
		// Older clients exit with 0 when no server answered.
		return Info{}, e.diagnose(errors.New(strings.Join(d.ServerErrors, "; ")))
	}
	// Engines from before cgroup v2 do not name the version.
	cgroup := 1
	if d.CgroupVersion != "" {
		var err error
		if cgroup, err = strconv.Atoi(d.CgroupVersion); err != nil {
			return Info{}, fmt.Errorf("read what docker info prints: cgroup version: %w", err)
		}
	}
	return Info{
		Engine: "docker", Version: d.ServerVersion, CgroupVersion: cgroup, CgroupDriver: d.CgroupDriver,
		Rootless: slices.ContainsFunc(d.SecurityOptions, func(o string) bool { return strings.Contains(o, "name=rootless") }),
		Runtime:  d.DefaultRuntime, Root: d.DockerRootDir, CPUs: d.NCPU, Memory: d.MemTotal, Architecture: goArch(d.Architecture),
	}, nil
}

func readPodman(out string) (Info, error) {
	var p podmanInfo
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		return Info{}, fmt.Errorf("read what podman info prints: %w", err)
	}
	cgroup, err := strconv.Atoi(strings.TrimPrefix(p.Host.CgroupVersion, "v"))
	if err != nil {
		return Info{}, fmt.Errorf("read what podman info prints: cgroup version: %w", err)
	}
	return Info{
		Engine: "podman", Version: p.Version.Version, CgroupVersion: cgroup, CgroupDriver: p.Host.CgroupManager,
		Rootless: p.Host.Security.Rootless, Runtime: p.Host.OCIRuntime.Name, Root: p.Store.GraphRoot,
		CPUs: p.Host.CPUs, Memory: p.Host.MemTotal, Architecture: goArch(p.Host.Arch),
	}, nil
}

func goArch(arch string) string {
	switch arch {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return arch
}

// socket of a Docker Engine where DOCKER_HOST names no other.
const socket = "/var/run/docker.sock"

// diagnose adds to the error of an engine that does not answer what mends it.
func (e *Engine) diagnose(err error) error {
	said := strings.ToLower(err.Error())
	switch {
	case e.Name == "docker" && strings.Contains(said, "permission denied"):
		return fmt.Errorf("%w: add yourself to the group docker (sudo usermod -aG docker \"$USER\"), and log in anew: %w", ErrNoRights, err)
	case e.Name == "docker" && (strings.Contains(said, "cannot connect to the docker daemon") || strings.Contains(said, "connection refused") || nobodyListens()):
		return fmt.Errorf("%w: start it (sudo systemctl start docker), or name another with DOCKER_HOST: %w", ErrNotRunning, err)
	}
	return fmt.Errorf("ask %s what it is: %w", e.Name, err)
}

func nobodyListens() bool {
	if os.Getenv("DOCKER_HOST") != "" {
		return false
	}
	if _, err := os.Stat(socket); errors.Is(err, fs.ErrNotExist) {
		return true
	}
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return !errors.Is(err, fs.ErrPermission)
	}
	return c.Close() != nil
}
