package listener_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/listener"
)

// Nobody accepts these connections before the drain begins.
func TestDrainHandsOutWhoWaitsInTheQueue(t *testing.T) {
	t.Parallel()
	kinds := map[string]func(t *testing.T) *listener.Listener{
		"IPv4":         func(t *testing.T) *listener.Listener { return listen(t, "tcp4", "127.0.0.1:0") },
		"IPv6":         func(t *testing.T) *listener.Listener { return listen(t, "tcp6", "[::1]:0") },
		"unix":         func(t *testing.T) *listener.Listener { return listen(t, "unix", socketPath(t)) },
		"New":          func(t *testing.T) *listener.Listener { return listener.New(netListen(t)) },
		"EMFILE often": func(t *testing.T) *listener.Listener { return listener.New(&fails{TCPListener: netListen(t)}) },
	}
	for name, make := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ln := make(t)
			clients := dialMany(t, ln.Addr(), 50)
			s := serve(t, ln, 1)
			require.NoError(t, ln.Drain(soonContext(t)))

			require.Zero(t, lost(clients))
			served, ends := s.wait()
			require.Equal(t, 50, served)
			require.ErrorIs(t, ends[0], net.ErrClosed)
		})
		t.Run(name+", the control: Close resets them", func(t *testing.T) {
			t.Parallel()
			ln := make(t)
			clients := dialMany(t, ln.Addr(), 50)
			require.NoError(t, ln.Close())
			require.Equal(t, 50, lost(clients))
		})
	}
}

func TestDrainOfADualStackListenerServesBothFamilies(t *testing.T) {
	ln := listen(t, "tcp", ":0")
	port := ln.Addr().(*net.TCPAddr).Port
	clients := dialMany(t, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}, 20)
	if c, err := net.Dial("tcp6", ln.Addr().String()); err == nil {
		c.Close()
		clients = append(clients, dialMany(t, &net.TCPAddr{IP: net.IPv6loopback, Port: port}, 20)...)
	}
	serve(t, ln, 1)
	require.NoError(t, ln.Drain(soonContext(t)))
	require.Zero(t, lost(clients))
}

func TestSeveralAcceptLoopsShareTheQueueAndAllEnd(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	early := serve(t, ln, 4) // blocked in Accept when the drain begins
	clients := dialMany(t, ln.Addr(), 200)
	late := serve(t, ln, 4)
	require.NoError(t, ln.Drain(soonContext(t)))

	require.Zero(t, lost(clients))
	earlyServed, ends := early.wait()
	lateServed, lateEnds := late.wait()
	require.Equal(t, 200, earlyServed+lateServed)
	for _, err := range append(ends, lateEnds...) {
		require.ErrorIs(t, err, net.ErrClosed)
	}
}

func TestDrainWithNobodyAccepting(t *testing.T) {
	t.Run("succeeds if nobody is connected", func(t *testing.T) {
		ln := listen(t, "tcp", "127.0.0.1:0")
		require.NoError(t, ln.Drain(soonContext(t)))
		_, err := ln.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	})
	t.Run("waits for somebody, and closes when its context ends", func(t *testing.T) {
		ln := listen(t, "tcp", "127.0.0.1:0")
		clients := dialMany(t, ln.Addr(), 3)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := ln.Drain(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, ln.Addr().String())
		if runtime.GOOS == "linux" {
			require.ErrorContains(t, err, "at least 3 connections in its queue")
		}
		_, accept := ln.Accept()
		require.ErrorIs(t, accept, net.ErrClosed)
		require.Equal(t, 3, lost(clients))
		require.Equal(t, err, ln.Drain(t.Context()), "the result stays")
	})
	t.Run("serves those whose server comes late", func(t *testing.T) {
		ln := listen(t, "tcp", "127.0.0.1:0")
		clients := dialMany(t, ln.Addr(), 3)
		drained := startDrain(t, ln)
		serve(t, ln, 1)
		require.NoError(t, <-drained)
		require.Zero(t, lost(clients))
	})
}

func TestAForcedEndIsTheErrorOfTheDrain(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	clients := dialMany(t, ln.Addr(), 1)
	ctx, force := context.WithCancelCause(t.Context())
	force(shutdown.ErrForced)
	again := make(chan error, 1)
	go func() { again <- ln.Drain(ctx) }()
	for _, err := range []error{ln.Drain(ctx), <-again} {
		require.ErrorIs(t, err, shutdown.ErrForced)
		require.NotContains(t, err.Error(), "timed out")
	}
	if runtime.GOOS == "linux" {
		require.ErrorContains(t, ln.Drain(ctx), "closed with at least 1 connection in its queue: ")
	}
	require.Equal(t, 1, lost(clients))
}

func TestASecondDrainWaitsForTheFirst(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	clients := dialMany(t, ln.Addr(), 3)
	first := startDrain(t, ln)
	second := startDrain(t, ln)

	// A context of a later call ends that call and nothing else.
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, ln.Drain(over), context.Canceled)
	require.Empty(t, first)
	require.Empty(t, second)

	serve(t, ln, 1)
	require.NoError(t, <-first)
	require.NoError(t, <-second)
	require.NoError(t, ln.Drain(over), "it is over, so there is nothing to wait for")
	require.NoError(t, ln.Close())
	require.Zero(t, lost(clients))
}

func TestCloseDuringDrainEndsIt(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	clients := dialMany(t, ln.Addr(), 3)
	drained := startDrain(t, ln)
	require.NoError(t, ln.Close())
	require.ErrorIs(t, <-drained, net.ErrClosed)
	require.Equal(t, 3, lost(clients))
}

func TestDrainAfterCloseIsNil(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	require.NoError(t, ln.Close())
	require.NoError(t, ln.Close())
	require.NoError(t, ln.Drain(t.Context()))
}

func TestCloseEndsABlockedAccept(t *testing.T) {
	for name, inner := range map[string]func(net.Listener) net.Listener{
		"of a socket":                            func(ln net.Listener) net.Listener { return ln },
		"of a listener with an error of its own": func(ln net.Listener) net.Listener { return opaque{ln} },
	} {
		t.Run(name, func(t *testing.T) {
			ln := listener.New(inner(netListen(t)))
			s := serve(t, ln, 3)
			require.NoError(t, ln.Close())
			_, ends := s.wait()
			require.Len(t, ends, 3)
			for _, err := range ends {
				require.ErrorIs(t, err, net.ErrClosed)
			}
		})
	}
}

// 20 times 32 clients that dial without pause, while the listener goes away.
func TestNobodyIsLostUnderLoad(t *testing.T) {
	t.Parallel()
	drain := func(ln *listener.Listener) error { return ln.Drain(soonContext(t)) }
	own := func() *listener.Listener { return listen(t, "tcp", "127.0.0.1:0") }
	madeByCaller := func() *listener.Listener { return listener.New(netListen(t)) }

	t.Run("with Listen and Drain", func(t *testing.T) {
		asItComes := loadAndStop(t, own, drain)
		unprivileged := loadAndStop(t, own, func(ln *listener.Listener) error {
			return drainWithoutPrivilege(soonContext(t), ln)
		})
		for _, result := range []func() ([]error, int){asItComes, unprivileged} {
			lost, total := result()
			t.Logf("lost %d of %d", len(lost), total)
			if runtime.GOOS == "linux" {
				require.Empty(t, lost)
			}
		}
	})
	t.Run("with New and Drain, nearly", func(t *testing.T) {
		lost, total := loadAndStop(t, madeByCaller, drain)()
		t.Logf("lost %d of %d", len(lost), total)
	})
	t.Run("with a Unix socket", func(t *testing.T) {
		unix := func() *listener.Listener { return listen(t, "unix", socketPath(t)) }
		lost, total := loadAndStop(t, unix, drain)()
		t.Logf("lost %d of %d", len(lost), total)
		require.Empty(t, lost)
	})
	t.Run("the control: not with Close", func(t *testing.T) {
		for range 10 {
			lost, total := loadAndStop(t, own, (*listener.Listener).Close)()
			t.Logf("lost %d of %d", len(lost), total)
			if len(lost) > 0 {
				return
			}
		}
		require.Fail(t, "Close lost nobody")
	})
}

// loadAndStop returns when the last listener has been stopped. The result waits
// for the clients, some of which repeat their SYN after 1 s.
func loadAndStop(t *testing.T, listen func() *listener.Listener, stop func(*listener.Listener) error) (result func() (lost []error, total int)) {
	var mu sync.Mutex
	var lost []error
	var total int
	var clients sync.WaitGroup
	for range 20 {
		ln := listen()
		s := serve(t, ln, 1)
		var warm sync.WaitGroup
		for range 32 {
			warm.Add(1)
			warmed := sync.OnceFunc(warm.Done)
			clients.Go(func() {
				defer warmed()
				for {
					err := roundTrip(ln.Addr())
					if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) || errors.Is(err, errRepeated) {
						return
					}
					warmed()
					mu.Lock()
					total++
					if err != nil {
						lost = append(lost, err)
					}
					mu.Unlock()
				}
			})
		}
		warm.Wait()
		require.NoError(t, stop(ln))
		s.wait()
	}
	return func() ([]error, int) {
		clients.Wait()
		return lost, total
	}
}

// A dial that took so long has repeated its SYN, and if that is answered, then by
// a stranger who has got the port in the meantime.
var errRepeated = errors.New("the SYN was repeated")

func roundTrip(addr net.Addr) error {
	began := time.Now()
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if time.Since(began) > 900*time.Millisecond {
		return errRepeated
	}
	c := client{conn}
	if err := c.send(); err != nil {
		return err
	}
	// What is refused is a dial; a connection can only be reset.
	if err := c.receive(); err != nil {
		return errors.New(err.Error())
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		return tcp.SetLinger(0) // leave no port in TIME_WAIT
	}
	return nil
}

func TestASharedListenerLeavesTheQueueToItsOtherOwner(t *testing.T) {
	mine, theirs := twoOwners(t)
	ln := listener.Shared(mine)
	clients := dialMany(t, theirs.Addr(), 10)
	require.NoError(t, ln.Drain(soonContext(t)))
	_, err := ln.Accept()
	require.ErrorIs(t, err, net.ErrClosed)

	requireUnfiltered(t, theirs)
	clients = append(clients, dialMany(t, theirs.Addr(), 10)...)
	serve(t, theirs, 1)
	require.Zero(t, lost(clients))
}

func TestNewDoesNotHarmAnotherOwner(t *testing.T) {
	mine, theirs := twoOwners(t)
	ln := listener.New(mine)
	early := dialMany(t, theirs.Addr(), 10)
	s := serve(t, ln, 1)
	require.NoError(t, ln.Drain(soonContext(t)))
	require.Zero(t, lost(early))
	served, _ := s.wait()
	require.Equal(t, 10, served)

	late := dialMany(t, theirs.Addr(), 10)
	requireUnfiltered(t, theirs)
	serve(t, theirs, 1)
	require.Zero(t, lost(late))
}

// twoOwners returns one listening socket twice.
func twoOwners(t *testing.T) (mine, theirs net.Listener) {
	if runtime.GOOS == "windows" {
		t.Skip("sockets cannot be duplicated here")
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false) // which takes no filter anyway
	ln, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	f, err := ln.(*net.TCPListener).File()
	require.NoError(t, err)
	defer f.Close()
	theirs, err = net.FileListener(f)
	require.NoError(t, err)
	t.Cleanup(func() { theirs.Close() })
	return ln, theirs
}

func TestAUnixSocketsPathIsFreeFromTheStartOfTheDrain(t *testing.T) {
	path := socketPath(t)
	ln := listen(t, "unix", path)
	clients := dialMany(t, ln.Addr(), 5)
	drained := startDrain(t, ln)

	successor := listen(t, "unix", path)
	others := dialMany(t, successor.Addr(), 5)
	serve(t, ln, 1)
	require.NoError(t, <-drained)
	require.Zero(t, lost(clients))

	others = append(others, dialMany(t, successor.Addr(), 5)...)
	serve(t, successor, 1)
	require.Zero(t, lost(others), "the path is still the successor's")
}

func TestAPathThatASuccessorHasBoundIsLeftAlone(t *testing.T) {
	for name, stop := range map[string]func(*listener.Listener) error{
		"by Drain": func(ln *listener.Listener) error { return ln.Drain(soonContext(t)) },
		"by Close": (*listener.Listener).Close,
	} {
		t.Run(name, func(t *testing.T) {
			path := socketPath(t)
			ln := listen(t, "unix", path)
			require.NoError(t, os.Remove(path))
			successor := listen(t, "unix", path)
			require.NoError(t, stop(ln))
			clients := dialMany(t, successor.Addr(), 5)
			serve(t, successor, 1)
			require.Zero(t, lost(clients))
		})
	}
}

func TestASharedUnixSocketKeepsItsPath(t *testing.T) {
	path := socketPath(t)
	inner, err := net.Listen("unix", path)
	require.NoError(t, err)
	require.NoError(t, listener.Shared(inner).Drain(t.Context()))
	_, err = os.Stat(path)
	require.NoError(t, err)

	own := socketPath(t)
	require.NoError(t, listen(t, "unix", own).Close())
	_, err = os.Stat(own)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestNewReturnsAListenerOfThisPackageAsItIs(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	require.Same(t, ln, listener.New(ln))
}

func TestConnectionsAreNotWrapped(t *testing.T) {
	for _, ln := range []*listener.Listener{
		listen(t, "tcp", "127.0.0.1:0"),
		listener.New(netListen(t)),
		listen(t, "unix", socketPath(t)),
	} {
		dial(t, ln.Addr())
		conn, err := ln.Accept()
		require.NoError(t, err)
		defer conn.Close()
		switch conn.(type) {
		case *net.TCPConn, *net.UnixConn:
		default:
			t.Errorf("%T", conn)
		}
	}
}

func TestListenReportsWhatNetListenDoes(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	_, err := listener.Listen(t.Context(), "tcp", ln.Addr().String())
	require.Error(t, err)
	_, err = listener.Listen(t.Context(), "udp", "127.0.0.1:0")
	require.Error(t, err)
}

func TestAnHTTPServerDrainsThenShutsDown(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	release := make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-release
		w.Header().Set("Connection", "close")
	})}
	served := start(func() error { return srv.Serve(ln) })
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	answers := make(chan error, 50)
	var connected sync.WaitGroup
	connected.Add(50)
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		defer connected.Done()
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	for range 50 {
		go func() {
			response, err := (&http.Client{Transport: transport}).Get("http://" + ln.Addr().String())
			if err == nil {
				err = response.Body.Close()
			}
			answers <- err
		}()
	}
	connected.Wait()
	require.NoError(t, ln.Drain(soonContext(t)))
	require.ErrorIs(t, <-served, net.ErrClosed)
	close(release)
	for range 50 {
		require.NoError(t, <-answers)
	}
	require.NoError(t, srv.Shutdown(soonContext(t)))
}

// net/http closes the listener with a mutex held that Serve needs too.
func TestAnHTTPServerMayShutDownInTheMiddleOfADrain(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	dial(t, ln.Addr())
	drained := startDrain(t, ln)
	srv := new(http.Server)
	held := &holds{Listener: ln, accepting: make(chan struct{}), closed: make(chan struct{})}
	served := start(func() error { return srv.Serve(held) })
	<-held.accepting
	require.NoError(t, srv.Shutdown(soonContext(t)))
	require.ErrorIs(t, <-drained, net.ErrClosed)
	require.ErrorIs(t, <-served, http.ErrServerClosed)
}

// holds is a listener whose Accept begins when it has been closed, so that a
// drain cannot end.
type holds struct {
	net.Listener
	accepting, closed chan struct{}
	once              sync.Once
}

func (l *holds) Accept() (net.Conn, error) {
	close(l.accepting)
	<-l.closed
	return l.Listener.Accept()
}

func (l *holds) Close() error {
	defer l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// fails has no file descriptor free every other time.
type fails struct {
	*net.TCPListener
	calls int
}

func (l *fails) Accept() (net.Conn, error) {
	if l.calls++; l.calls%2 == 1 {
		return nil, os.NewSyscallError("accept4", syscall.EMFILE)
	}
	return l.TCPListener.Accept()
}

// startDrain returns when Drain has come so far that it waits.
func startDrain(t *testing.T, ln *listener.Listener) <-chan error {
	ctx := watch(soonContext(t))
	drained := start(func() error { return ln.Drain(ctx) })
	ctx.await(t)
	return drained
}

// watched tells when somebody first waits for it to end.
type watched struct {
	context.Context
	once    sync.Once
	waiting chan struct{}
}

func watch(ctx context.Context) *watched {
	return &watched{Context: ctx, waiting: make(chan struct{})}
}

func (c *watched) Done() <-chan struct{} {
	c.once.Do(func() { close(c.waiting) })
	return c.Context.Done()
}

// await returns when Drain waits for somebody.
func (c *watched) await(t *testing.T) {
	t.Helper()
	select {
	case <-c.waiting:
	case <-c.Context.Done():
		require.FailNow(t, "Drain does not wait")
	}
}

func start(f func() error) <-chan error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	return result
}
