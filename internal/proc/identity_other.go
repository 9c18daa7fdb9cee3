//go:build unix && !linux

package proc

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/process"
)

// Boot names this run of the machine: identities are of no use in another.
func Boot() (string, error) {
	t, err := host.BootTime()
	return strconv.FormatUint(t, 10), err
}

func startOf(pid int) (string, error) {
	p, err := process.NewProcess(int32(pid))
	if errors.Is(err, process.ErrorProcessNotRunning) {
		return "", os.ErrProcessDone
	}
	if err != nil {
		return "", err
	}
	if status, err := p.Status(); err == nil && slices.Contains(status, process.Zombie) {
		return "", os.ErrProcessDone
	}
	ms, err := p.CreateTime()
	return strconv.FormatInt(ms, 10), err
}

// Find returns the processes of this user whose command line is exactly argv.
func Find(argv []string) ([]Identity, error) {
	return find(func(words []string) bool { return slices.Equal(words, argv) })
}

// Naming returns the processes of this user whose command line has this very word in it, or one that ends with it.
func Naming(word string) ([]Identity, error) {
	return find(func(words []string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.HasSuffix(w, word) })
	})
}

func find(wanted func(argv []string) bool) ([]Identity, error) {
	all, err := process.Processes()
	if err != nil {
		return nil, err
	}
	var found []Identity
	for _, p := range all {
		if uids, err := p.Uids(); err != nil || len(uids) == 0 || int(uids[0]) != os.Getuid() {
			continue
		}
		if words, err := p.CmdlineSlice(); err != nil || !wanted(words) {
			continue
		}
		if id, err := Identify(int(p.Pid)); err == nil {
			found = append(found, id)
		}
	}
	return found, nil
}
