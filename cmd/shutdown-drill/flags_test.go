package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/load"
)

func TestAnInvalidFlagIsNamedWithItsValue(t *testing.T) {
	const url = "--url http://127.0.0.1:8080/ "
	for args, want := range map[string]string{
		"":                                          "no command",
		url:                                         "no command",
		"./app":                                     `--url "": it must be a URL such as http://127.0.0.1:8080/orders`,
		"--url localhost:8080 ./app":                `--url "localhost:8080": it must be a URL`,
		"--url ftp://127.0.0.1/ ./app":              `--url "ftp://127.0.0.1/": it must be a URL`,
		"--url http://8.8.8.8/ ./app":               `--url "http://8.8.8.8/": 8.8.8.8 is neither a loopback nor a private address`,
		"--url http://[2606:4700::1]/ ./app":        "neither a loopback nor a private address",
		"--url http://169.254.169.254/ ./app":       "neither a loopback nor a private address",
		"--url http://no.such.invalid/ ./app":       `--url "http://no.such.invalid/": `,
		url + "-c 0 ./app":                          "-c 0: it must be from 1 to 1000",
		url + "-c 1001 ./app":                       "-c 1001: it must be from 1 to 1000",
		url + "--rounds 0 ./app":                    "--rounds 0: it must be from 1 to 1000",
		url + "--grace 0s ./app":                    "--grace 0s: it must be longer than 0",
		url + "--start -1s ./app":                   "--start -1s: it must be longer than 0",
		url + "--mode http3 ./app":                  `--mode "http3": no mode "http3"; the modes are new, keepalive, http2 and http2shared`,
		url + "--grpc x --mode keepalive ./app":     `--mode "keepalive": gRPC needs HTTP/2`,
		url + "--grpc x --body y ./app":             "--grpc cannot be combined",
		url + "--held slow ./app":                   `--held "slow": it must begin with /`,
		url + "--signal FOO ./app":                  `--signal "FOO": no such signal`,
		url + "-H x ./app":                          `invalid value "x" for flag -H: it must be "Name: value"`,
		url + "-H (x):y ./app":                      `invalid value "(x):y" for flag -H`,
		url + "--mode new,new ./app":                `--mode "new,new": new is named twice`,
		url + "--signal INT --stop-command x ./app": "--signal cannot be combined with --stop-command",
		"--url http://a:b@127.0.0.1/ ./app":         "user and password are not used",
		"--url http://127.0.0.1/x --grpc y ./app":   "with --grpc it has no path",
		url + "--no-such ./app":                     "flag provided but not defined: -no-such",
	} {
		_, err := parse(strings.Fields(args), io.Discard)
		require.ErrorContains(t, err, want, args)
	}
}

func TestFlags(t *testing.T) {
	c, err := parse([]string{"--url", "https://localhost/orders?x=1", "-c", "7", "--mode", "new,http2shared", "--signal", "int", "--body", "text", "-H", "A: b:c", "--grace", "3s", "--", "./app", "-x"}, io.Discard)
	require.NoError(t, err)
	p := c.plan
	target := p.Targets[0]
	require.Contains(t, []string{"127.0.0.1:443", "[::1]:443"}, target.Addr)
	require.Equal(t, "localhost", target.Request.Header.Get("Host"))
	require.Equal(t, "localhost", target.TLS.ServerName)
	require.Equal(t, "/orders?x=1", target.Path)
	require.NotNil(t, target.TLS)
	require.Equal(t, []string{"./app", "-x"}, target.Command)
	require.Equal(t, []load.Mode{load.NewConn, load.HTTP2Shared}, p.Modes)
	require.Equal(t, "POST", target.Request.Method)
	require.Equal(t, "b:c", target.Request.Header.Get("A"))
	require.Equal(t, 7, p.Clients)
	require.Equal(t, 3*time.Second, p.Grace)
	require.Equal(t, "interrupt", p.Signal.String())

	c, err = parse([]string{"--url", "http://10.1.2.3:50051", "--grpc", "grpc.health.v1.Health/Check", "./app"}, io.Discard)
	require.NoError(t, err)
	target = c.plan.Targets[0]
	require.Equal(t, "/grpc.health.v1.Health/Check", target.Path)
	require.True(t, target.Request.GRPC)
	require.Equal(t, []load.Mode{load.NewConn, load.HTTP2}, c.plan.Modes)

	var usage strings.Builder
	_, err = parse([]string{"-h"}, &usage)
	require.Error(t, err)
	require.Contains(t, usage.String(), "usage: shutdown-drill")
	require.Contains(t, usage.String(), "-stop-command")
}
