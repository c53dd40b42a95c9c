package systemd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/systemd"
)

// The programs that systemd runs in manager_linux_test.go.
func init() {
	children["service"] = func() { dieWithParent(); runService() }
	children["naive"] = func() { dieWithParent(); runNaive() }
	children["grace"] = func() {
		d, err := systemd.GracePeriod(context.Background())
		must(err)
		must(os.WriteFile(filepath.Join(os.Getenv("DIR"), "grace"), []byte(d.String()), 0o600))
		os.Exit(0)
	}
}

func dieWithParent() { must(unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0)) }

// runService is a service as the documentation shows it. Its environment adds what a test
// needs: a check (READY), a GracePeriod that is asked (ASK), a Timeout (TIMEOUT), a hook that
// waits for a file (HOLD) or takes its time (HOOK), a main that hangs at the end (HANG).
func runService() {
	var cfg shutdown.Config
	if os.Getenv("ASK") != "" {
		grace, err := systemd.GracePeriod(context.Background())
		must(err)
		cfg.GracePeriod = grace
	}
	if text := os.Getenv("TIMEOUT"); text != "" {
		timeout, err := time.ParseDuration(text)
		must(err)
		cfg.Timeout = timeout
	}
	err := shutdown.Run(cfg, func(m *shutdown.Manager) error {
		var ready func(context.Context) error
		if os.Getenv("READY") != "" {
			ready = func(context.Context) error {
				if !exists("ready") {
					return errors.New("waiting for the file")
				}
				return nil
			}
		}
		systemd.Notify(m, ready)
		m.On(shutdown.Close, "flush", func(context.Context) error {
			return os.WriteFile(filepath.Join(os.Getenv("DIR"), "flushed"), nil, 0o600)
		})
		if os.Getenv("HOLD") != "" {
			m.On(shutdown.Drain, "hold", func(context.Context) error {
				for !exists("release") {
					time.Sleep(10 * time.Millisecond)
				}
				return nil
			})
		}
		if hook := hookTime(); hook > 0 {
			m.On(shutdown.Drain, "upload", func(context.Context) error { time.Sleep(hook); return nil })
		}
		must(os.WriteFile(filepath.Join(os.Getenv("DIR"), "up"), nil, 0o600))
		sockets, err := systemd.Listeners()
		if err != nil {
			return err
		}
		for _, ln := range sockets["http"] {
			if _, err := httpserver.Serve(m, &http.Server{Handler: http.HandlerFunc(echo)}, ln); err != nil {
				return err
			}
		}
		return nil
	})
	if os.Getenv("HANG") != "" {
		time.Sleep(time.Hour)
	}
	os.Exit(shutdown.ExitCode(err))
}

// runNaive is what a service does without the library: it waits for SIGTERM, lets the http.Server
// finish, and cleans up.
func runNaive() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	srv := &http.Server{Addr: os.Getenv("ADDR"), Handler: http.HandlerFunc(echo)}
	if srv.Addr != "" {
		go func() {
			if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
				must(err)
			}
		}()
	}
	must(os.WriteFile(filepath.Join(os.Getenv("DIR"), "up"), nil, 0o600))
	<-ctx.Done()
	_ = srv.Shutdown(context.Background())
	time.Sleep(hookTime())
	must(os.WriteFile(filepath.Join(os.Getenv("DIR"), "flushed"), nil, 0o600))
	os.Exit(0)
}

func exists(name string) bool {
	_, err := os.Stat(filepath.Join(os.Getenv("DIR"), name))
	return err == nil
}

func hookTime() time.Duration {
	text := os.Getenv("HOOK")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	must(err)
	return d
}

// echo answers with the body, as package load wants it.
func echo(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(w, r.Body); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
