package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Boot names this run of the machine: identities are of no use in another.
func Boot() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}

// startOf is the start of a process in clock ticks since boot. Unlike a time of day it does not shift when the clock is set.
func startOf(pid int) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return "", os.ErrProcessDone
	}
	if err != nil {
		return "", err
	}
	// The second field is the program's name in parentheses, which may hold anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("/proc/%d/stat has %d fields after the name, want 20 or more", pid, len(fields))
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return "", os.ErrProcessDone
	}
	return fields[19], nil
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
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []Identity
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue
		}
		if s, ok := info.Sys().(*syscall.Stat_t); !ok || int(s.Uid) != os.Getuid() {
			continue
		}
		id, err := Identify(pid)
		if err != nil {
			continue
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || len(b) == 0 {
			continue
		}
		if wanted(strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")) {
			found = append(found, id)
		}
	}
	return found, nil
}
