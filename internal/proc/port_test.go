package proc

import (
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

var shared = net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
	if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); e != nil {
		return e
	}
	return err
}}

func TestReservedPortServesItsChildAndNobodyElse(t *testing.T) {
	p, err := ReservePort(ReusePort)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Release()) })

	_, err = net.Listen("tcp", p.Address())
	require.ErrorIs(t, err, syscall.EADDRINUSE, "a stranger gets the port")
	_, err = net.Dial("tcp", p.Address())
	require.ErrorIs(t, err, syscall.ECONNREFUSED, "a reservation does not answer")

	for range 3 { // restarts
		l, err := shared.Listen(context.Background(), "tcp", p.Address())
		require.NoError(t, err)
		for range 20 {
			out, err := net.Dial("tcp", p.Address())
			require.NoError(t, err)
			in, err := l.Accept()
			require.NoError(t, err)
			require.NoError(t, in.Close()) // leaves TIME_WAIT behind
			require.NoError(t, out.Close())
		}
		require.NoError(t, l.Close())
		_, err = net.Dial("tcp", p.Address())
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	}
}

// Most servers know nothing of SO_REUSEPORT.
func TestPortKeptForAnyServer(t *testing.T) {
	p, err := ReservePort(ReuseAddr)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Release()) })
	for range 3 {
		_, err = net.Dial("tcp", p.Address())
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "a reservation does not answer")
		for range 200 { // whoever asks for any port gets another
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			require.NotEqual(t, p.Address(), l.Addr().String())
			require.NoError(t, l.Close())
		}
		l, err := net.Listen("tcp", p.Address())
		require.NoError(t, err)
		out, err := net.Dial("tcp", p.Address())
		require.NoError(t, err)
		in, err := l.Accept()
		require.NoError(t, err)
		require.NoError(t, in.Close()) // leaves TIME_WAIT behind
		require.NoError(t, out.Close())
		_, err = net.Listen("tcp", p.Address())
		require.ErrorIs(t, err, syscall.EADDRINUSE, "it serves one")
		require.NoError(t, l.Close())
	}
}

func TestReservedPortsDiffer(t *testing.T) {
	seen := map[int]bool{}
	for range 200 {
		p, err := ReservePort(ReusePort)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, p.Release()) })
		require.False(t, seen[p.Number], "port %d was given out twice", p.Number)
		seen[p.Number] = true
	}
}

func TestReleasedPortIsFree(t *testing.T) {
	p, err := ReservePort(ReusePort)
	require.NoError(t, err)
	require.NoError(t, p.Release())
	require.NoError(t, p.Release())
	l, err := net.Listen("tcp", p.Address())
	require.NoError(t, err)
	require.NoError(t, l.Close())
}
