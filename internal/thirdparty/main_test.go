package thirdparty

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/internal/leaks"
)

func TestMain(m *testing.M) {
	// The grace period of this machine would change the tests.
	for _, key := range []string{"KUBERNETES_SERVICE_HOST", "SHUTDOWN_GRACE_PERIOD", "SHUTDOWN_LAME_DUCK", "SHUTDOWN_PRESTOP"} {
		_ = os.Unsetenv(key)
	}
	// The Upgrader runs until the process ends.
	upgrader := goleak.IgnoreTopFunction("github.com/cloudflare/tableflip.(*Upgrader).run")
	find := func(...goleak.Option) error { return goleak.Find(upgrader) }
	goleak.VerifyTestMain(leaks.Patient(m, find), upgrader)
}
