package proc

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Port is a TCP port of 127.0.0.1 that is kept for one child, across its deaths and restarts: a socket is bound to it and never listens, so
// that the system gives the port to nobody else, and refuses connections while the child is down.
type Port struct {
	Number int
	fd     int
}

// Sharing is the socket option with which the child gets at a port that is kept for it.
type Sharing int

const (
	// ReusePort is for a child that binds with SO_REUSEPORT, as etcd (--socket-reuse-port) and the Kubernetes components
	// (--permit-port-sharing) can, and runs as the same user. Nobody else gets at the port.
	ReusePort Sharing = unix.SO_REUSEPORT
	// ReuseAddr is for any other server: nearly all bind with SO_REUSEADDR. A stranger who asks for this very port gets it too, while the
	// child does not listen.
	ReuseAddr Sharing = unix.SO_REUSEADDR
)

// ReservePort finds a free port and keeps it.
func ReservePort(s Sharing) (*Port, error) {
	p, err := reserve(s)
	if err != nil {
		return nil, fmt.Errorf("reserve a loopback port: %w", err)
	}
	return p, nil
}

func reserve(s Sharing) (*Port, error) {
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, int(s), 1),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
	)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	addr, err := unix.Getsockname(fd)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &Port{Number: addr.(*unix.SockaddrInet4).Port, fd: fd}, nil
}

// Address is host:port.
func (p *Port) Address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Number))
}

// Release gives the port back. It may be called twice.
func (p *Port) Release() error {
	if p.fd < 0 {
		return nil
	}
	fd := p.fd
	p.fd = -1
	return unix.Close(fd)
}
