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
		k.once.Do(func() { go k.strike() })
	}
}

// strike kills the newest process that runs the victim's binary for this drill's cluster, as soon as there is one.
func (k *killer) strike() {
	defer close(k.done)
	binary, _, _ := strings.Cut(k.victim, "-0")
	cluster := "/source/"
	if k.phase == evidence.PhaseRestore || k.phase == evidence.PhaseSurvey {
		cluster = "/restored/"
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		// The drill runs in this process: its components are children, and no other drill's are.
		self, err := process.NewProcess(int32(os.Getpid()))
		if err != nil {
			return
		}
		children, err := self.Children()
		if err != nil {
			continue
		}
		for _, p := range children {
			argv, err := p.CmdlineSlice()
			if err == nil && len(argv) > 1 && strings.HasSuffix(argv[0], "/"+binary) && strings.Contains(strings.Join(argv, " "), cluster) {
				k.killed = syscall.Kill(int(p.Pid), syscall.SIGKILL) == nil
				return
			}
		}
	}
}

func (k *killer) struck() bool {
	<-k.done
	return k.killed
}
