// Package loopback returns addresses for the listeners of tests.
package loopback

import (
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
)

// Host returns a loopback address. On Linux, which has many, it is one that no other
// program uses. On a shared address, another program may bind a port as soon as it is
// closed. It would then answer a dial that should be refused, or a repeated SYN.
func Host() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	return fmt.Sprintf("127.%d.%d.%d", 1+rand.N(254), rand.N(256), 1+rand.N(254))
}

// Addr returns an address for a listener, with a new Host and a port that the kernel
// chooses.
func Addr() string { return Host() + ":0" }

// FreeAddrs returns n addresses of a new Host, for programs that are told where to
// listen. Nothing listens there yet, and on Linux only a program that listens on all
// addresses could take them.
func FreeAddrs(n int) (addrs []string, err error) {
	host := Host()
	for range n {
		ln, err := net.Listen("tcp", host+":0")
		if err != nil {
			return nil, err
		}
		defer ln.Close() // at the end, so that no two are equal
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs, nil
}

// FreeAddr returns one of FreeAddrs.
func FreeAddr() (string, error) {
	addrs, err := FreeAddrs(1)
	if err != nil {
		return "", err
	}
	return addrs[0], nil
}
