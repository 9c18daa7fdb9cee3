package staleclient

import (
	"bufio"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// echo answers each line with its name in front.
func echo(t *testing.T, name string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					if lines.Text() == "die" {
						l.Close()
						return
					}
					conn.Write([]byte(name + " " + lines.Text() + "\n"))
				}
			}()
		}
	}()
	return l
}

func TestDoor(t *testing.T) {
	first, second := echo(t, "first"), echo(t, "second")
	d, err := newDoor(first.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.close()) })
	dial := func() (net.Conn, error) { return net.Dial("tcp", d.address()) }
	say := func(conn net.Conn, line string) (string, error) {
		if _, err := conn.Write([]byte(line + "\n")); err != nil {
			return "", err
		}
		return bufio.NewReader(conn).ReadString('\n')
	}

	conn, err := dial()
	require.NoError(t, err)
	answer, err := say(conn, "hello")
	require.NoError(t, err)
	require.Equal(t, "first hello\n", answer)

	// A backend that dies takes its connections with it, and the address refuses new ones from that moment on.
	_, err = say(conn, "die")
	require.ErrorIs(t, err, syscall.ECONNRESET)
	_, err = dial()
	require.ErrorIs(t, err, syscall.ECONNREFUSED)

	require.NoError(t, d.redirect(second.Addr().String()))
	conn, err = dial()
	require.NoError(t, err)
	answer, err = say(conn, "hello")
	require.NoError(t, err)
	require.Equal(t, "second hello\n", answer)

	d.shut()
	_, err = say(conn, "hello")
	require.Error(t, err)
	_, err = dial()
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.NoError(t, d.close())
	require.ErrorContains(t, d.redirect(second.Addr().String()), "the front door was closed")
}
