package staleclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/restore-drill/restore-drill/internal/proc"
)

// dialTimeout bounds a connection to a backend on this machine, which may be busy.
const dialTimeout = 30 * time.Second

// A door forwards TCP connections to one backend. While there is none it refuses connections, as the address of a dead server
// does: an informer that is refused resumes its watch where it was, and one whose connection ends in any other way may list anew, which would hide
// what a restore did to it.
type door struct {
	port *proc.Port

	mu       sync.Mutex
	backend  string
	listener net.Listener // nil while shut
	conns    map[net.Conn]struct{}
	closed   bool
	running  sync.WaitGroup
}

func newDoor(backend string) (*door, error) {
	port, err := proc.ReservePort(proc.ReusePort)
	if err != nil {
		return nil, err
	}
	d := &door{port: port, conns: map[net.Conn]struct{}{}}
	if err := d.redirect(backend); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *door) address() string { return d.port.Address() }

// redirect shuts the door on whoever is connected, and opens it to backend.
func (d *door) redirect(backend string) error {
	d.shut()
	share := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}), err)
	}}
	listener, err := share.Listen(context.Background(), "tcp", d.port.Address())
	if err != nil {
		return fmt.Errorf("listen at the front door: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errors.Join(errors.New("the front door was closed"), listener.Close())
	}
	d.backend, d.listener = backend, listener
	d.running.Go(func() { d.accept(listener, backend) })
	return nil
}

// shut refuses new connections first, and then resets those that there are.
func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shutLocked()
}

func (d *door) shutLocked() {
	if d.listener != nil {
		d.listener.Close()
		d.listener = nil
	}
	d.backend = ""
	for conn := range d.conns {
		reset(conn)
		delete(d.conns, conn)
	}
}

// dial connects to backend. One that refuses is dead, and the door is shut if it is still the one behind it.
func (d *door) dial(backend string) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", backend, dialTimeout)
	if errors.Is(err, syscall.ECONNREFUSED) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.backend == backend {
			d.shutLocked()
		}
	}
	return conn, err
}

// isShut tells whether connections are refused for want of a backend.
func (d *door) isShut() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.backend == ""
}

func (d *door) close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.shut()
	d.running.Wait()
	return d.port.Release()
}

func (d *door) accept(listener net.Listener, backend string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		d.running.Go(func() { d.forward(client, backend) })
	}
}

func (d *door) forward(client net.Conn, backend string) {
	server, err := d.dial(backend)
	if err != nil {
		reset(client)
		return
	}
	if !d.admit(backend, client, server) {
		reset(client)
		reset(server)
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		io.Copy(server, client)
		reset(server)
	})
	both.Go(func() {
		io.Copy(client, server)
		// Whether one connection ended or the server did decides between a reset and a closed door, which has to come first.
		if probe, err := d.dial(backend); err == nil {
			probe.Close()
		}
		reset(client)
	})
	both.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, client)
	delete(d.conns, server)
}

// admit keeps a pair of connections for shut, unless the door leads elsewhere by now.
func (d *door) admit(backend string, pair ...net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.backend != backend || d.closed {
		return false
	}
	for _, conn := range pair {
		d.conns[conn] = struct{}{}
	}
	return true
}

// reset ends a connection at once, without a farewell.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}
