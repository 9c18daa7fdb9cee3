// Package doctor looks at what this machine has of what a provider of clusters needs, and names for each thing that it lacks the command that mends
// it. It changes nothing but for a container of an empty image, which shows whether the engine can start one, and is removed.
//
// To look at another thing, add a function that returns its Finding to Machine, Process or Kind.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/mem"
	"golang.org/x/sys/unix"

	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/images"
	"github.com/restore-drill/restore-drill/internal/place"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

// A State of what was looked at. The zero value is that it could not be told.
type State string

// The states of a finding. Scarce is there and may be too little; clusters work with it until they do not.
const (
	Unknown State = ""
	OK      State = "ok"
	Scarce  State = "scarce"
	Missing State = "missing"
)

func (s State) String() string {
	if s == Unknown {
		return "unknown"
	}
	return string(s)
}

// MarshalText writes unknown out.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Finding is one thing that a provider needs.
type Finding struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// Seen is what there is, with figures.
	Seen string `json:"seen"`
	// Mend is a command, or what else to do; empty where nothing is to be done.
	Mend string `json:"mend,omitempty"`
	// Err is why it could not be told, or the whole of what failed.
	Err error `json:"-"`
}

// Error of the findings that keep clusters from being made: of what is missing or could not be told. What is scarce is none.
func Error(findings []Finding) error {
	var errs []error
	for _, f := range findings {
		if f.State == OK || f.State == Scarce {
			continue
		}
		err := fmt.Errorf("%s: %s", f.Name, f.Seen)
		if f.Err != nil {
			err = fmt.Errorf("%s: %w", f.Name, f.Err)
		}
		if f.Mend != "" {
			err = fmt.Errorf("%w: mend it with: %s", err, f.Mend)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

const (
	// DiskNeeded, in bytes, is what two clusters of kind may take, with their volumes and backups.
	DiskNeeded = 10 << 30
	// MemoryNeeded, in bytes, is what two clusters of kind and Velero take.
	MemoryNeeded = 6 << 30
	// Of the provider process: two control planes.
	processDisk, processMemory = 2 << 30, 3 << 30
)

// Process looks at what the provider process needs. Nothing is built.
func Process(ctx context.Context, t *toolchain.Toolchain) []Finding {
	return []Finding{
		goTool(),
		programs(ctx, t),
		disk("disk", place.StateRoot(), processDisk),
		memory(processMemory),
	}
}

// Kind looks at what the provider kind needs: the machine, and the images.
func Kind(ctx context.Context) []Finding {
	findings := Machine(ctx)
	e, err := engine.Find()
	if err != nil || findings[0].State != OK {
		// Without an engine nothing can be told of its images.
		return append(findings, Finding{Name: "images", Seen: "not looked at: no engine answers", Mend: "restore-drill images build"})
	}
	return append(findings, imagesOf(ctx, e))
}

// Machine looks at the engine of this machine, and at what it has for containers that are nodes. The first finding is that of the engine.
func Machine(ctx context.Context) []Finding {
	e, err := engine.Find()
	if err != nil {
		return []Finding{{Name: "engine", State: Missing, Seen: "no docker and no podman on PATH", Mend: "sudo apt-get install docker.io", Err: err}}
	}
	info, err := e.Info(ctx)
	if err != nil {
		return []Finding{silent(e, err)}
	}
	return []Finding{
		{Name: "engine", State: OK, Seen: fmt.Sprintf("%s %s answers, with %d CPUs", info.Engine, info.Version, info.CPUs)},
		version(info),
		cgroup(info),
		privileges(ctx, e),
		inotify("fs.inotify.max_user_watches", 524288),
		inotify("fs.inotify.max_user_instances", 512),
		disk("engine disk", info.Root, DiskNeeded),
		memory(MemoryNeeded),
	}
}

// silent is the finding of an engine that is installed and does not answer.
func silent(e *engine.Engine, err error) Finding {
	f := Finding{Name: "engine", State: Missing, Seen: e.Name + " does not answer", Err: err}
	switch {
	case errors.Is(err, engine.ErrNoRights):
		f.Seen, f.Mend = "no rights on the socket of "+e.Name, `sudo usermod -aG docker "$USER" (and log in anew)`
	case errors.Is(err, engine.ErrNotRunning):
		f.Seen, f.Mend = e.Name+" is installed and does not run", "sudo systemctl start docker"
	default:
		f.Mend = e.Name + " info (and what it says)"
	}
	return f
}

// oldest are the versions of engines from which on kind's nodes run.
var oldest = map[string][2]int{"docker": {20, 10}, "podman": {4, 0}}

func version(info engine.Info) Finding {
	f := Finding{Name: "engine version", Seen: info.Engine + " " + info.Version}
	want := oldest[info.Engine]
	major, rest, _ := strings.Cut(info.Version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	first, err := strconv.Atoi(major)
	second, err2 := strconv.Atoi(strings.TrimRight(minor, "-rcdev"))
	if err := errors.Join(err, err2); err != nil {
		f.Err = fmt.Errorf("read the version %q: %w", info.Version, err)
		return f
	}
	if first < want[0] || first == want[0] && second < want[1] {
		f.State, f.Mend = Missing, fmt.Sprintf("install %s %d.%d or newer (https://docs.docker.com/engine/install)", info.Engine, want[0], want[1])
		return f
	}
	f.State = OK
	return f
}

// cgroup of the engine. Kubelets refuse version 1 by default; the provider tells them not to.
func cgroup(info engine.Info) Finding {
	f := Finding{Name: "cgroups", State: OK, Seen: fmt.Sprintf("version %d, driver %s", info.CgroupVersion, info.CgroupDriver)}
	if info.CgroupVersion == 1 {
		f.Seen += ": kubelets are told to accept it (failCgroupV1: false)"
		if info.Rootless {
			f.State, f.Mend = Missing, "boot with systemd.unified_cgroup_hierarchy=1: a rootless engine needs cgroup version 2"
		}
	}
	return f
}

// privileges of the containers that are nodes.
func privileges(ctx context.Context, e *engine.Engine) Finding {
	f := Finding{Name: "privileges"}
	missing := ""
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		if set, err := engine.ParseCapabilities(string(status)); err == nil && len(set.Missing()) > 0 {
			missing = "; this machine lacks " + strings.Join(set.Missing(), ", ")
		}
	}
	switch err := e.TryPrivileged(ctx); {
	case err == nil:
		f.State, f.Seen = OK, "a privileged container starts"+missing
	case errors.Is(err, engine.ErrNoPrivileges):
		f.State, f.Seen, f.Err = Missing, "no privileged container starts"+missing, err
		f.Mend = "give the engine a runtime that leaves out what the machine lacks, as .ci/engine does (runc-capped), or all capabilities"
	default:
		f.Seen, f.Err = "a privileged container could not be tried", err
	}
	return f
}

// inotify compares a limit of the kernel with what kind's known issues recommend. Each kubelet and each pod that watches files takes of it.
func inotify(name string, want int) Finding {
	f := Finding{Name: name}
	text, err := os.ReadFile(filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/")))
	if err != nil {
		f.Seen, f.Err = "could not be read", err
		return f
	}
	have, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		f.Seen, f.Err = "could not be read", err
		return f
	}
	f.State, f.Seen = OK, strconv.Itoa(have)
	if have < want {
		f.State, f.Seen = Scarce, fmt.Sprintf("%d, and kind recommends %d", have, want)
		f.Mend = fmt.Sprintf("sudo sysctl %s=%d", name, want)
	}
	return f
}

// disk looks at the file system of a directory that need not be there yet.
func disk(name, dir string, want uint64) Finding {
	f := Finding{Name: name}
	at := dir
	var s unix.Statfs_t
	err := unix.Statfs(at, &s)
	for ; errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at); err = unix.Statfs(at, &s) {
		at = filepath.Dir(at)
	}
	if err != nil {
		f.Seen, f.Err = "could not be told of "+dir, err
		return f
	}
	free := s.Bavail * uint64(s.Bsize)
	f.State, f.Seen = OK, fmt.Sprintf("%s free in %s", gibibytes(free), dir)
	if free < want {
		f.State = Missing
		f.Seen += fmt.Sprintf(", and %s are needed", gibibytes(want))
		f.Mend = "make room: df -h " + at
		if name == "engine disk" {
			f.Mend = "docker system prune (it removes every image and container that is not in use)"
		}
	}
	return f
}

func memory(want uint64) Finding {
	f := Finding{Name: "memory"}
	m, err := mem.VirtualMemory()
	if err != nil {
		f.Seen, f.Err = "could not be told", err
		return f
	}
	f.State, f.Seen = OK, fmt.Sprintf("%s available of %s", gibibytes(m.Available), gibibytes(m.Total))
	if m.Available < want {
		f.State, f.Mend = Scarce, "end what takes memory, or run one drill at a time (--parallel 1)"
		f.Seen += fmt.Sprintf(", and a drill may take %s", gibibytes(want))
	}
	return f
}

func gibibytes(n uint64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

func goTool() Finding {
	path, err := exec.LookPath("go")
	if err != nil {
		return Finding{Name: "go", State: Missing, Seen: "no go on PATH, to build the toolchain with", Mend: "install Go (https://go.dev/dl)", Err: err}
	}
	return Finding{Name: "go", State: OK, Seen: path}
}

// programs of the toolchain that drills on the provider process need, in the default version of Kubernetes.
func programs(ctx context.Context, t *toolchain.Toolchain) Finding {
	f := Finding{Name: "toolchain"}
	all, err := t.List(ctx)
	if err != nil {
		f.Seen, f.Err = "could not be told", err
		return f
	}
	var wanted, missing []string
	for _, b := range all {
		if !toolchain.OfControlPlane(b) {
			continue
		}
		wanted = append(wanted, b.Component)
		if b.Path == "" || b.Source != toolchain.SourceBinDir && b.Source != toolchain.SourceAssets && b.Source != toolchain.SourceCache {
			missing = append(missing, b.Component+" "+b.Version+" ("+b.Source+")")
		}
	}
	f.State, f.Seen = OK, strings.Join(wanted, ", ")
	if len(missing) > 0 {
		f.State, f.Seen, f.Mend = Missing, strings.Join(missing, ", "), "restore-drill toolchain build"
	}
	return f
}

// imagesOf an engine that clusters of kind need.
func imagesOf(ctx context.Context, e *engine.Engine) Finding {
	f := Finding{Name: "images"}
	all, err := images.List(ctx, e)
	if err != nil {
		f.Seen, f.Err = "could not be told", err
		return f
	}
	var there, missing []string
	for _, i := range all {
		if i.State == images.Missing {
			missing = append(missing, i.Ref)
		}
		there = append(there, i.Ref)
	}
	f.State, f.Seen = OK, strings.Join(there, ", ")
	if len(missing) > 0 {
		f.State, f.Seen = Missing, strings.Join(missing, ", ")
		f.Mend = "restore-drill images build"
	}
	return f
}
