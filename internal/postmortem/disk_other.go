//go:build aix || (!unix && !windows)

package postmortem

import (
	"errors"
	"fmt"
	"io"
)

// lockFile has no lock to take: without one nobody knows whether the last run
// has ended.
func lockFile(path string) (io.Closer, error) {
	return nil, fmt.Errorf("lock %s: %w", path, errors.ErrUnsupported)
}
