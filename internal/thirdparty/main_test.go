package thirdparty

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/internal/leaks"
)

func TestMain(m *testing.M) {
	// What the machine says about grace periods is not what is tested here.
	for _, key := range []string{"KUBERNETES_SERVICE_HOST", "SHUTDOWN_GRACE_PERIOD", "SHUTDOWN_LAME_DUCK", "SHUTDOWN_PRESTOP"} {
		_ = os.Unsetenv(key)
	}
	// A process has one Upgrader, to its end.
	upgrader := goleak.IgnoreTopFunction("github.com/cloudflare/tableflip.(*Upgrader).run")
	find := func(...goleak.Option) error { return goleak.Find(upgrader) }
	goleak.VerifyTestMain(leaks.Patient(m, find), upgrader)
}
