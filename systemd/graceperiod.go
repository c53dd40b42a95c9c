package systemd

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

// askLimit is longer than systemd takes to answer on a busy machine. Tests change it.
var askLimit = 5 * time.Second

// GracePeriod returns TimeoutStopSec of the unit of this process, for Config.GracePeriod: how
// long after SIGTERM systemd sends SIGKILL. It asks the manager that has started the process,
// the system's or the user's, over D-Bus.
//
//	grace, err := systemd.GracePeriod(ctx)
//	if err != nil {
//		slog.Warn("the grace period is not known", "error", err)
//	}
//	shutdown.Run(shutdown.Config{GracePeriod: grace}, start)
//
// Zero is what Config.GracePeriod takes for unknown. GracePeriod returns it without an error
// if systemd has not started this very process (see below), or if TimeoutStopSec is infinity.
//
// An error means that systemd could not be asked: there is no D-Bus, or the access to it is
// denied, or ctx has ended. The program can go on with zero. GracePeriod blocks until systemd
// has answered, or until the end of ctx, or for 5 s.
//
// Each call asks again. An answer is what holds now: after systemctl daemon-reload it may be
// another one. SHUTDOWN_GRACE_PERIOD takes precedence over Config.GracePeriod.
//
// systemd has started the process if SYSTEMD_EXEC_PID, which it sets since version 248, is
// its pid. A child process, such as one that a start script starts without exec, gets zero.
func GracePeriod(ctx context.Context) (time.Duration, error) {
	pid := os.Getpid()
	if os.Getenv("SYSTEMD_EXEC_PID") != strconv.Itoa(pid) {
		return 0, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, askLimit, fmt.Errorf("no answer within %v: %w", askLimit, context.DeadlineExceeded))
	defer cancel()
	d, err := askGracePeriod(ctx, uint32(pid))
	if err == nil {
		return d, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause // else it is that of a connection which was closed
	}
	return 0, fmt.Errorf("systemd: TimeoutStopSec: %w", err)
}

func askGracePeriod(ctx context.Context, pid uint32) (time.Duration, error) {
	conn, err := connect(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	unit, err := conn.GetUnitNameByPID(ctx, pid)
	if err != nil {
		return 0, fmt.Errorf("unit of pid %d: %w", pid, err)
	}
	const property = "TimeoutStopUSec"
	p, err := conn.GetServicePropertyContext(ctx, unit, property)
	if err != nil {
		return 0, fmt.Errorf("%s of unit %s: %w", property, unit, err)
	}
	usec, ok := p.Value.Value().(uint64)
	if !ok {
		return 0, fmt.Errorf("%s of unit %s: %v is no uint64", property, unit, p.Value)
	}
	if usec > math.MaxInt64/uint64(time.Microsecond) {
		return 0, nil // infinity
	}
	return time.Duration(usec) * time.Microsecond, nil
}

// connect connects to the manager that has started this process, as systemctl does: root and
// the user have a socket of the manager's own, which needs no bus. It works early in the boot
// too.
func connect(ctx context.Context) (*dbus.Conn, error) {
	if os.Getenv("MANAGERPID") != "" { // set by the user's manager
		address := "unix:path=" + godbus.EscapeBusAddressValue(filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "systemd/private"))
		return dbus.NewConnection(func() (*godbus.Conn, error) {
			conn, err := godbus.Dial(address, godbus.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			if err := conn.Auth([]godbus.Auth{godbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
				_ = conn.Close()
				return nil, err
			}
			return conn, nil
		})
	}
	if os.Geteuid() == 0 {
		if conn, err := dbus.NewSystemdConnectionContext(ctx); err == nil {
			return conn, nil
		}
	}
	return dbus.NewSystemConnectionContext(ctx)
}
