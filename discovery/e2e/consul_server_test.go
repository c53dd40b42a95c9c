package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/loopback"
)

// consulBinary returns the Consul that .ci/consul has built.
func consulBinary(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	path := filepath.Join(cache, "gracefulgo-shutdown", "consul-1.12.9")
	switch _, err := os.Stat(path); {
	case err == nil:
		return path
	case !errors.Is(err, os.ErrNotExist):
		t.Fatal(err)
	case os.Getenv("CI") != "":
		t.Fatalf("%s does not exist: run .ci/consul", path)
	}
	t.Skip("Consul is not installed: .ci/consul builds it, in two or three minutes")
	return ""
}

// A consulServer is an agent in development mode, which keeps its data in memory.
type consulServer struct {
	t       *testing.T
	binary  string
	addr    string
	flags   []string
	process *exec.Cmd // nil if it is stopped
	stderr  bytes.Buffer
}

func startConsul(t *testing.T) *consulServer {
	t.Helper()
	s := &consulServer{t: t, binary: consulBinary(t)}
	addrs, err := loopback.FreeAddrs(3) // a restart needs them again
	require.NoError(t, err)
	s.addr = addrs[0]
	for i, flag := range []string{"-http-port", "-server-port", "-serf-lan-port"} {
		host, port, err := net.SplitHostPort(addrs[i])
		require.NoError(t, err)
		s.flags = append(s.flags, "-bind="+host, "-client="+host, flag+"="+port)
	}
	t.Cleanup(s.kill)
	s.start()
	return s
}

func (s *consulServer) start() {
	s.t.Helper()
	s.process = exec.Command(s.binary, append([]string{"agent", "-dev", "-log-level", "err", "-node", "here",
		"-serf-wan-port", "-1", "-dns-port", "-1", "-grpc-port", "-1",
		"-hcl", "disable_update_check = true"}, s.flags...)...)
	s.process.Stdout, s.process.Stderr = &s.stderr, &s.stderr
	dieWithParent(s.process)
	require.NoError(s.t, s.process.Start())
	client := s.connect()
	if !ready(s.t.Context(), client) {
		s.kill()
		s.t.Fatalf("Consul is not ready:\n%s", &s.stderr)
	}
}

func ready(ctx context.Context, client *api.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for ctx.Err() == nil {
		q := (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx)
		if nodes, _, err := client.Catalog().Nodes(q); err == nil && len(nodes) > 0 {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

// kill kills the agent, whose data is lost.
func (s *consulServer) kill() {
	if s.process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
		s.process = nil
	}
}

// connect returns a client of addr, which by default is the address of this agent.
func (s *consulServer) connect(addr ...string) *api.Client {
	s.t.Helper()
	cfg := api.DefaultNonPooledConfig()
	cfg.Address = s.addr
	if len(addr) > 0 {
		cfg.Address = addr[0]
	}
	client, err := api.NewClient(cfg)
	require.NoError(s.t, err)
	return client
}

// listConsul returns the addresses of the passing instances.
func listConsul(client *api.Client) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		found, _, err := client.Health().Service("orders", "", true, (&api.QueryOptions{}).WithContext(ctx))
		if err != nil {
			return nil, err
		}
		addrs := []string{}
		for _, s := range found {
			addrs = append(addrs, fmt.Sprintf("%s:%d", s.Service.Address, s.Service.Port))
		}
		slices.Sort(addrs)
		return addrs, nil
	}
}
