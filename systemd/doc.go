// Package systemd is for services that systemd runs.
package systemd
