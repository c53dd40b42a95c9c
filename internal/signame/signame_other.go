//go:build !unix && !windows

package signame

import "os"

func nameOf(os.Signal) string { return "" }
