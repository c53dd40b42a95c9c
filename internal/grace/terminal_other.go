//go:build !unix && !windows

package grace

// stderrIsTerminal does not know.
func stderrIsTerminal() bool { return false }
