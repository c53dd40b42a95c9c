//go:build !unix

package drill

// A family is all that a program starts. It is not known on this system.
type family struct{}

func newFamily() (*family, error)       { return new(family), nil }
func (*family) names(*program) []string { return nil }
func (*family) kill(*program)           {}
