//go:build !linux

package thirdparty

import (
	"errors"
	"syscall"
)

func reusePort(_, _ string, _ syscall.RawConn) error { return errors.ErrUnsupported }
