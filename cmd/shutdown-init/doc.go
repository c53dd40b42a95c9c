// Command shutdown-init is the init of a container whose program cannot stop
// itself, or whose start script does not exec.
package main
