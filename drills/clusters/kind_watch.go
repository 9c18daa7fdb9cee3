package clusters

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// A containerEvent is what containerd tells of a container that starts or ends.
type containerEvent struct {
	Topic      string
	Container  string `json:"container_id"`
	ID         string `json:"id"`
	PID        int    `json:"pid"`
	ExitStatus int    `json:"exit_status"`
}

// parseEvent reads a line of "ctr events": a time, a namespace, a topic and JSON.
func parseEvent(line string) (e containerEvent, ok bool) {
	for _, topic := range []string{"/tasks/start", "/tasks/exit"} {
		if _, content, found := strings.Cut(line, " "+topic+" "); found {
			e.Topic = topic
			return e, json.Unmarshal([]byte(content), &e) == nil
		}
	}
	return e, false
}

// A nodeContainer is one that the runtime of a machine has.
type nodeContainer struct {
	ID     string
	Labels map[string]string
}

// watchContainers keeps up what is known of the control plane's containers, for as long as the cluster is there.
func (c *kindCluster) watchContainers() {
	m := c.control()
	for c.watching.Err() == nil && !m.gone.Load() {
		lines := &lineWriter{line: c.event}
		_ = c.engine.Stream(c.watching, nil, lines, io.Discard, "exec", m.id, "ctr", "--namespace", "k8s.io", "events")
		// The stream ends with the machine, and with a containerd that is started again: then what is so now is looked up.
		select {
		case <-c.watching.Done():
		case <-time.After(100 * time.Millisecond):
			c.lookUp(c.watching)
		}
	}
}

// event is called for one line after the other.
func (c *kindCluster) event(line string) {
	e, ok := parseEvent(line)
	switch {
	case !ok:
	case e.Topic == "/tasks/start":
		c.started(c.watching, e.Container, e.PID)
	case e.ID == e.Container: // else it is a further process in the container
		c.looking.Lock()
		defer c.looking.Unlock()
		for _, p := range c.static {
			p.ended(e.Container, e.ExitStatus, c.logged(e.Container))
		}
	}
}

// started finds out whose a container is that runs now.
func (c *kindCluster) started(ctx context.Context, id string, pid int) {
	c.looking.Lock()
	defer c.looking.Unlock()
	if _, known := c.logging[id]; known {
		return
	}
	out, err := c.control().Exec(ctx, nil, "ctr", "--namespace", "k8s.io", "containers", "info", id)
	if err != nil {
		return // it is gone already, or is looked up again
	}
	var found nodeContainer
	if json.Unmarshal(out, &found) != nil || found.Labels["io.kubernetes.pod.namespace"] != "kube-system" {
		return
	}
	name, pod := found.Labels["io.kubernetes.container.name"], found.Labels["io.kubernetes.pod.name"]
	for _, p := range c.static {
		if name != p.container || pod != p.container+"-"+c.control().name {
			continue
		}
		// The log is followed first: whoever hears of a death may read its last words.
		done := make(chan struct{})
		c.logging[id] = done
		file := fmt.Sprintf("/var/log/containers/%s_kube-system_%s-%s.log", pod, name, id)
		c.follow(p.name, done, "tail", "--lines=+1", "--follow=descriptor", "--retry", "--pid="+strconv.Itoa(pid), file)
		if p.began(id, types.UID(found.Labels["io.kubernetes.pod.uid"]), pid) {
			// Its end is an event as any other; what has ended meanwhile needs no signal.
			_, _ = c.control().Exec(ctx, nil, "kill", "-KILL", strconv.Itoa(pid))
		}
	}
}

// logged is closed when all that a container logged was read; at once for one that nobody follows.
func (c *kindCluster) logged(id string) <-chan struct{} {
	if done, ok := c.logging[id]; ok {
		return done
	}
	done := make(chan struct{})
	close(done)
	return done
}

// lookUp asks the runtime what runs, in case that an event was lost.
func (c *kindCluster) lookUp(ctx context.Context) {
	out, err := c.control().Exec(ctx, nil, "ctr", "--namespace", "k8s.io", "tasks", "ls")
	if err != nil {
		return
	}
	running := map[string]int{}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 3 && f[2] == "RUNNING" {
			if pid, err := strconv.Atoi(f[1]); err == nil {
				running[f[0]] = pid
			}
		}
	}
	for _, p := range c.static {
		p.mu.Lock()
		id, was := p.id, p.running
		p.mu.Unlock()
		if _, there := running[id]; was && !there {
			c.looking.Lock()
			// How it ended is not known any more; not by itself, as far as anybody can tell.
			p.ended(id, 137, c.logged(id))
			c.looking.Unlock()
		}
	}
	for id, pid := range running {
		c.started(ctx, id, pid)
	}
}

// follow appends what a command on the control-plane machine prints to a component's log, and closes done at its end.
func (c *kindCluster) follow(component string, done chan<- struct{}, argv ...string) {
	c.logs.Add(1)
	go func() {
		defer c.logs.Done()
		defer close(done)
		f, err := os.OpenFile(c.logFile(component), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return
		}
		defer f.Close()
		// What cannot be written is missing in a log, and in nothing that is judged.
		lines := &lineWriter{line: func(line string) { _, _ = fmt.Fprintln(f, message(line)) }}
		_ = c.engine.Stream(c.watching, nil, lines, io.Discard, append([]string{"exec", c.control().id}, argv...)...)
	}()
}

// message leaves away what the runtime puts before each line of a container's log: a time, the stream, and whether the line is whole.
func message(line string) string {
	if f := strings.SplitN(line, " ", 4); len(f) == 4 && (f[1] == "stdout" || f[1] == "stderr") && (f[2] == "F" || f[2] == "P") {
		return f[3]
	}
	return line
}

// A lineWriter calls line for each whole line.
type lineWriter struct {
	line func(string)
	rest []byte
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	for {
		line, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		w.line(strings.TrimRight(string(line), "\r"))
		w.rest = rest
	}
}
