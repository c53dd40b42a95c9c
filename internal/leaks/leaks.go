// Package leaks helps the TestMain functions of this repository to find leaked
// goroutines with goleak on a busy machine.
package leaks

import (
	"testing"
	"time"
)

// patience is how long a goroutine may take to end after the tests.
const patience = 10 * time.Second

// Patient returns m for goleak.VerifyTestMain, with a Run that waits until find, which is
// goleak.Find, finds no goroutines. By itself VerifyTestMain waits only half a second.
// Patient takes find as an argument so that this package does not import goleak.
func Patient[Option any](m *testing.M, find func(...Option) error) interface{ Run() int } {
	return patient{m, func() error { return find() }}
}

type patient struct {
	*testing.M
	find func() error
}

func (p patient) Run() (code int) {
	code = p.M.Run()
	end := time.Now().Add(patience)
	for code == 0 && p.find() != nil && time.Now().Before(end) { // find waits up to half a second
	}
	return code
}
