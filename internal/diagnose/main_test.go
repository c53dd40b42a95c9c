package diagnose

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/internal/leaks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(leaks.Patient(m, goleak.Find)) }
