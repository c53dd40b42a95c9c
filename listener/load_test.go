package listener_test

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/listener"
)

// 20 times, 32 clients dial without pause while the listener is drained.
func TestDrainUnderLoadLosesNoConnections(t *testing.T) {
	t.Parallel()
	drain := func(ln *listener.Listener) error { return ln.Drain(soonContext(t)) }
	own := func() *listener.Listener { return listen(t, "tcp", "127.0.0.1:0") }
	madeByCaller := func() *listener.Listener { return listener.New(netListen(t)) }

	t.Run("with Listen and Drain", func(t *testing.T) {
		results := make(map[string]func() ([]error, int))
		for name, drain := range drains {
			results[name] = loadAndStop(t, own, func(ln *listener.Listener) error { return drain(soonContext(t), ln) })
		}
		for name, result := range results {
			lost, total := result()
			t.Logf("%s: lost %d of %d", name, len(lost), total)
			if runtime.GOOS == "linux" {
				require.Empty(t, lost)
			}
		}
	})
	t.Run("with New and Drain, which may lose some", func(t *testing.T) {
		lost, total := loadAndStop(t, madeByCaller, drain)()
		t.Logf("lost %d of %d", len(lost), total)
	})
	t.Run("with a Unix socket", func(t *testing.T) {
		unix := func() *listener.Listener { return listen(t, "unix", socketPath(t)) }
		lost, total := loadAndStop(t, unix, drain)()
		t.Logf("lost %d of %d", len(lost), total)
		require.Empty(t, lost)
	})
	t.Run("control: Close loses connections", func(t *testing.T) {
		for range 10 {
			lost, total := loadAndStop(t, own, (*listener.Listener).Close)()
			t.Logf("lost %d of %d", len(lost), total)
			if len(lost) > 0 {
				return
			}
		}
		require.Fail(t, "Close lost no connection")
	})
}

// loadAndStop returns when the last listener has been stopped. Calling result waits
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

// A dial that took this long has repeated its SYN, which was then refused, or answered by
// another listener on the port.
var errRepeated = errors.New("the SYN was repeated")

func roundTrip(addr net.Addr) error {
	began := time.Now()
	conn, err := net.Dial(addr.Network(), addr.String())
	repeated := time.Since(began) > 900*time.Millisecond
	if repeated && errors.Is(err, syscall.ECONNREFUSED) {
		return errRepeated
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	if repeated {
		return errRepeated
	}
	c := client{conn}
	if err := c.send(); err != nil {
		return err
	}
	// Only a dial can be refused, so an error here must not look like ECONNREFUSED.
	if err := c.receive(); err != nil {
		return errors.New(err.Error())
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		return tcp.SetLinger(0) // leaves no port in TIME_WAIT
	}
	return nil
}
