// Package leaks is for the TestMain of this module's packages.
package leaks

import (
	"testing"
	"time"
)

// patience is for a goroutine that is about to end, on a machine that is busy.
const patience = 10 * time.Second

// Patient is m for goleak.VerifyTestMain, which by itself gives goroutines that
// are about to end no more than half a second; find is goleak.Find.
func Patient[Option any](m *testing.M, find func(...Option) error) interface{ Run() int } {
	return patient{m, func() error { return find() }}
}

type patient struct {
	*testing.M
	find func() error
}

func (p patient) Run() (code int) {
	code = p.M.Run()
	for end := time.Now().Add(patience); code == 0 && p.find() != nil && time.Now().Before(end); {
	}
	return code
}
