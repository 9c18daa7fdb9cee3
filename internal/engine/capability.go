package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// capabilities of Linux by their numbers, as the kernel's include/uapi/linux/capability.h has them.
var capabilities = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
	NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE
	SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND
	AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

// Capabilities is a set of them, bit by bit as the kernel counts.
type Capabilities uint64

// Has tells whether a capability, such as SYS_RESOURCE, is in the set.
func (c Capabilities) Has(name string) bool {
	for i, known := range capabilities {
		if known == name {
			return c&(1<<i) != 0
		}
	}
	return false
}

// Missing names the capabilities that Kubernetes' kernels know and the set has not.
func (c Capabilities) Missing() (names []string) {
	for i, name := range capabilities {
		if c&(1<<i) == 0 {
			names = append(names, name)
		}
	}
	return names
}

// ParseCapabilities reads the bounding set out of the text of a /proc/PID/status.
func ParseCapabilities(status string) (Capabilities, error) {
	for line := range strings.Lines(status) {
		value, ok := strings.CutPrefix(line, "CapBnd:")
		if !ok {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return 0, fmt.Errorf("read capabilities: %w", err)
		}
		return Capabilities(set), nil
	}
	return 0, errors.New("read capabilities: no line CapBnd")
}

// Capabilities are those that a privileged container gets, seen from inside one. The image must have a cat.
func (e *Engine) Capabilities(ctx context.Context, image string) (Capabilities, error) {
	status, err := e.Output(ctx, Container{
		Image: image, Options: []string{"--privileged", "--network", "none", "--entrypoint", "cat"}, Command: []string{"/proc/self/status"},
	})
	if err != nil {
		return 0, fmt.Errorf("see which capabilities containers get: %w", err)
	}
	return ParseCapabilities(status)
}

// probeCommand is not there: a runtime that gets as far as to say so has set the container up.
const probeCommand = "/restore-drill-probe"

// ErrNoPrivileges is wrapped by the error of an engine that cannot start a privileged container, which is what a node is.
var ErrNoPrivileges = errors.New("the engine cannot start privileged containers")

// TryPrivileged starts a privileged container of an empty image, so that it needs none.
func (e *Engine) TryPrivileged(ctx context.Context) (err error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "proc/", Typeflag: tar.TypeDir, Mode: 0o755}), w.Close()); err != nil {
		return err
	}
	id, err := e.Import(ctx, &archive, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.RemoveImage(context.WithoutCancel(ctx), id)) }()
	_, err = e.Output(ctx, Container{Image: id, Options: []string{"--privileged", "--network", "none"}, Command: []string{probeCommand}})
	switch {
	case err == nil:
		return fmt.Errorf("start a privileged container: %s ran, which is not there", probeCommand)
	case ctx.Err() != nil:
		return err
	case strings.Contains(err.Error(), probeCommand) && strings.Contains(strings.ToLower(err.Error()), "no such file"):
		return nil
	}
	return fmt.Errorf("%w: %w", ErrNoPrivileges, err)
}
