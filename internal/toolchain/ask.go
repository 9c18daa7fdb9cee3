package toolchain

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// askTimeout bounds how long a binary may take to print its version; the first start reads up to 100 MB from disk.
const askTimeout = 2 * time.Minute

// identity of a file's content, good enough within the life of a process.
type identity struct {
	path     string
	size     int64
	modified time.Time
}

// printed matches the version in what components print: "etcd Version: 3.6.16", "Kubernetes v1.36.3", "kwok version v0.8.0 go1.26",
// "Version  : 1.8.0" (versitygw), "\tVersion: v1.18.3" (velero), "Client Version: v1.36.3" (kubectl), "  gitVersion: v1.36.3" (kubeadm).
var printed = regexp.MustCompile(`(?mi)^\s*(?:(?:etcd |etcdctl |etcdutl |client |git)?version *:|kubernetes|kwok version) v?(\d\S*)`)

// ask has a binary tell its version, once as long as the file stays the same. The error is fs.ErrNotExist where there is no file.
func (t *Toolchain) ask(ctx context.Context, c component, file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	id := identity{file, info.Size(), info.ModTime()}
	t.mu.Lock()
	version := t.asked[id]
	t.mu.Unlock()
	if version != "" {
		return version, nil
	}
	if version, err = ask(ctx, c, file); err != nil {
		return "", err
	}
	t.mu.Lock()
	t.asked[id] = version
	t.mu.Unlock()
	return version, nil
}

func ask(ctx context.Context, c component, file string) (string, error) {
	if len(c.ask) == 0 {
		return read(c.origin(), file)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, askTimeout, fmt.Errorf("no answer within %s", askTimeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, file, c.ask...)
	// A program that leaves its output open to a child must not keep us.
	cmd.WaitDelay = 10 * time.Second
	// Its own settings come from the environment too, and a wrong one would keep it from answering.
	cmd.Env = []string{}
	called := strings.Join(cmd.Args, " ")
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		// A file that is there and whose interpreter is not would read as a missing one.
		return "", errors.New(strings.TrimSpace(fmt.Sprintf("%s: %v: %s", called, err, lastLine(out))))
	}
	found := printed.FindSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("%s printed %q", called, lastLine(out))
	}
	return "v" + string(found[1]), nil
}

// read finds the version of the module in the build information of a binary, whether it was built in that module or from a set that requires it.
func read(module, file string) (string, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return "", err
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module && m.Replace == nil {
			return m.Version, nil
		}
	}
	return "", fmt.Errorf("%s was not built from %s", file, module)
}

func lastLine(out []byte) string {
	out = bytes.TrimSpace(out)
	return string(out[bytes.LastIndexByte(out, '\n')+1:])
}
