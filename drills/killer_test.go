package drills_test

import (
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v4/process"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

// A killer waits for a phase, and then kills a component by its process, as an operator's mistake or the kernel would.
type killer struct {
	phase, victim string
	once          sync.Once
	done          chan struct{}
	killed        bool
}

func newKiller(phase, victim string) *killer {
	return &killer{phase: phase, victim: victim, done: make(chan struct{})}
}

func (k *killer) event(e evidence.Event) {
	if e.Kind == evidence.PhaseStarted && e.Name == k.phase {
		k.once.Do(func() {
			// The drill waits for this callback: a victim that runs already dies in this very phase, however slow the machine is.
			if k.try() {
				close(k.done)
			} else {
				go k.strike()
			}
		})
	}
}

// strike kills the victim as soon as there is one.
func (k *killer) strike() {
	defer close(k.done)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline) && !k.try(); {
		<-tick.C
	}
}

// try kills the process that runs the victim's binary for this drill's cluster, if there is one.
func (k *killer) try() bool {
	binary, _, _ := strings.Cut(k.victim, "-0")
	cluster := "/source/"
	if k.phase == evidence.PhaseRestore || k.phase == evidence.PhaseSurvey {
		cluster = "/restored/"
	}
	// The drill runs in this process: its components are children, and no other drill's are.
	self, err := process.NewProcess(int32(os.Getpid()))
	if err != nil {
		return false
	}
	children, err := self.Children()
	if err != nil {
		return false
	}
	for _, p := range children {
		argv, err := p.CmdlineSlice()
		if err == nil && len(argv) > 1 && strings.HasSuffix(argv[0], "/"+binary) && strings.Contains(strings.Join(argv, " "), cluster) {
			k.killed = syscall.Kill(int(p.Pid), syscall.SIGKILL) == nil
			return k.killed
		}
	}
	return false
}

func (k *killer) struck() bool {
	<-k.done
	return k.killed
}
