// Package process stops a child process with everything below it.
package process
