//go:build unix

package systemd_test

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/listener"
	"github.com/gracefulgo/shutdown/systemd"
)

func init() {
	children["listeners"] = func() {
		if os.Getenv("LISTEN_PID") == "" { // else that of another process
			must(os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))) // which the parent could not know
		}
		r := result{Addrs: map[string][]string{}}
		listeners, err := systemd.Listeners()
		if err != nil {
			r.Err = err.Error()
		}
		for name, list := range listeners {
			for _, ln := range list {
				r.Addrs[name] = append(r.Addrs[name], ln.Addr().String())
			}
		}
		for _, key := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
			if v, ok := os.LookupEnv(key); ok {
				r.Env = append(r.Env, key+"="+v)
			}
		}
		for fd := range 100 {
			if _, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil {
				r.Open++
			}
		}
		again, err := systemd.Listeners()
		must(err)
		r.Again = len(again)
		// What a child of this process inherits.
		cmd := exec.Command("ls", "/dev/fd")
		out, err := cmd.Output()
		must(err)
		r.Inherited = strings.Fields(string(out))
		must(json.NewEncoder(os.Stdout).Encode(r))
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test has looked
		for _, list := range listeners {
			for _, ln := range list {
				must(ln.Drain(nil)) //nolint:staticcheck // a Shared listener has nothing to wait for
			}
		}
		os.Exit(0)
	}
}

// A result is what a process finds that got sockets as systemd passes them.
type result struct {
	Addrs     map[string][]string
	Err       string
	Env       []string
	Open      int // sockets
	Again     int
	Inherited []string
}

// activate starts a process with the sockets. It ends when end is called.
func activate(t *testing.T, env []string, sockets ...interface{ File() (*os.File, error) }) (r result, end func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0]) // ends with its stdin
	cmd.Env = append(os.Environ(), append([]string{childEnv + "=listeners", "LISTEN_FDS=" + strconv.Itoa(len(sockets))}, env...)...)
	cmd.Stderr = t.Output()
	for _, s := range sockets {
		f, err := s.File()
		require.NoError(t, err)
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f) // from descriptor 3 on
	}
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	require.NoError(t, json.NewDecoder(stdout).Decode(&r))
	ended := false
	end = func() {
		if ended {
			return
		}
		ended = true
		require.NoError(t, stdin.Close())
		require.NoError(t, cmd.Wait())
	}
	t.Cleanup(end)
	return r, end
}

func tcp(t *testing.T) *net.TCPListener {
	t.Helper()
	ln, err := net.Listen("tcp", loopback.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln.(*net.TCPListener)
}

func TestListenersAreKnownByTheirNames(t *testing.T) {
	a, b, c := tcp(t), tcp(t), tcp(t)
	path := filepath.Join(t.TempDir(), "s")
	u, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	t.Cleanup(func() { u.Close() })
	r, end := activate(t, []string{"LISTEN_FDNAMES=http:admin.socket:http:local"}, a, b, c, u)
	require.Equal(t, result{Addrs: map[string][]string{
		"http":         {a.Addr().String(), c.Addr().String()},
		"admin.socket": {b.Addr().String()},
		"local":        {path},
	}, Open: 4, Inherited: r.Inherited}, r, "the variables are unset, and a second call returns nothing")
	without, _ := activate(t, nil)
	require.Equal(t, without.Inherited, r.Inherited, "child processes inherit no socket")
	end()
	require.FileExists(t, path, "systemd listens there")
}

func TestSocketsOfAnotherProcessAreNotTaken(t *testing.T) {
	r, _ := activate(t, []string{"LISTEN_PID=1", "LISTEN_FDNAMES=http"}, tcp(t))
	require.Empty(t, r.Addrs)
	require.Empty(t, r.Err)
}

func TestASocketThatDoesNotListenIsAnErrorWithItsName(t *testing.T) {
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	t.Cleanup(func() { udp.Close() })
	ln := tcp(t)
	conn, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	in, out, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { in.Close(); out.Close() })
	for name, test := range map[string]struct {
		socket interface{ File() (*os.File, error) }
		want   string
	}{
		"a datagram socket":         {udp, "it does not listen for connections: want ListenStream= and Accept=no"},
		"a connection (Accept=yes)": {conn.(*net.TCPConn), "it does not listen for connections: want ListenStream= and Accept=no"},
		"a pipe":                    {file{in}, "getsockopt: socket operation on non-socket"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := activate(t, []string{"LISTEN_FDNAMES=good:bad"}, ln, test.socket)
			require.Equal(t, `systemd: socket "bad": `+test.want, r.Err)
			require.Empty(t, r.Addrs)
			require.Zero(t, r.Open)
		})
	}
}

type file struct{ f *os.File }

func (f file) File() (*os.File, error) { return f.f, nil }

// The test is the owner of the socket, as systemd is.
func TestConnectionsThatAServiceHasNotAcceptedAreLeftToItsSuccessor(t *testing.T) {
	for name, drain := range map[string]func(net.Listener) error{
		"shared":                 nil,
		"control: not the owner": func(ln net.Listener) error { return listener.New(ln).Close() },
	} {
		t.Run(name, func(t *testing.T) {
			owner := tcp(t)
			if drain != nil {
				// Without another owner the connections in the queue are reset.
				conn, err := net.Dial("tcp", owner.Addr().String())
				require.NoError(t, err)
				defer conn.Close()
				require.NoError(t, drain(owner))
				require.NoError(t, conn.SetReadDeadline(time.Now().Add(soon)))
				_, err = conn.Read(make([]byte, 1))
				require.ErrorContains(t, err, "reset")
				return
			}
			r, end := activate(t, []string{"LISTEN_FDNAMES=http"}, owner)
			require.Equal(t, []string{owner.Addr().String()}, r.Addrs["http"])
			conn, err := net.Dial("tcp", owner.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = conn.Write([]byte("x"))
			require.NoError(t, err)
			end()
			require.NoError(t, owner.SetDeadline(time.Now().Add(soon)))
			accepted, err := owner.Accept()
			require.NoError(t, err)
			defer accepted.Close()
			_, err = io.ReadFull(accepted, make([]byte, 1))
			require.NoError(t, err)
		})
	}
}
