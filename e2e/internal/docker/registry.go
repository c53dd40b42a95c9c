//go:build linux

package docker

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/daemon"
	"github.com/gracefulgo/shutdown/e2e/internal/debian"
	"github.com/gracefulgo/shutdown/e2e/internal/report"
)

const (
	etcd = "127.0.0.1:2379"
	// instances is where those of examples/discovery register.
	instances = "/services/orders/"
)

// measureRegistry stops an instance of examples/discovery that leaves the registry first, in
// Leave, and one that leaves it last, in Close.
func measureRegistry(ctx context.Context, d *dockerd, dir string) (rows []report.Row, err error) {
	path, err := debian.Find("etcd")
	if err != nil {
		return nil, err
	}
	server, err := daemon.Start(ctx, exec.Command(path, "--data-dir", filepath.Join(dir, "etcd"), "--unsafe-no-fsync"),
		filepath.Join(dir, "etcd.log"), func(ctx context.Context) error {
			_, err := registered(ctx)
			return err
		})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop(syscall.SIGTERM)) }()
	for _, when := range []string{"first, in Leave", "last, in Close"} {
		row := report.Row{Scenario: "leaves etcd " + when, Service: "examples/discovery", Requirements: []string{"R9", "R23"}, Rounds: 1}
		left, closed, err := stopInstance(ctx, d, when, &row)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", row.Scenario, err)
		}
		row.ExitsOnly("0")
		before := closed.Sub(left)
		row.Says = fmt.Sprintf("left %.2f s before its port was closed", before.Seconds())
		if before < 0 {
			row.Says = fmt.Sprintf("left %.2f s after its port was closed", -before.Seconds())
		}
		if first := strings.HasPrefix(when, "first"); first != (before > 0) {
			row.Problem("%s", row.Says)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// registered returns the address of an instance in etcd, "" if there is none.
func registered(ctx context.Context) (addr string, err error) {
	encoded := base64.StdEncoding.EncodeToString
	end := instances[:len(instances)-1] + "0" // what follows the slash
	query := fmt.Sprintf(`{"key":%q,"range_end":%q}`, encoded([]byte(instances)), encoded([]byte(end)))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+etcd+"/v3/kv/range", bytes.NewBufferString(query))
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var found struct{ KVs []struct{ Value []byte } }
	if err := json.NewDecoder(resp.Body).Decode(&found); err != nil || len(found.KVs) == 0 {
		return "", err
	}
	return string(found.KVs[0].Value), nil
}

// stopInstance returns when the instance was no longer in the registry, and when its port
// was closed.
func stopInstance(ctx context.Context, d *dockerd, when string, row *report.Row) (left, closed time.Time, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, roundLimit, fmt.Errorf("a round had not ended after %v", roundLimit))
	defer cancel()
	// It listens on loopback, and ends when its standard input does.
	c, err := d.run(ctx, "--interactive", "--network", "host",
		"--env", "DISCOVERY_DEREGISTERS="+when, "--env", "DISCOVERY_ETCD="+etcd, discoveryImage)
	if c != nil {
		defer func() { err = errors.Join(err, c.remove()) }()
	}
	if err != nil {
		return left, closed, err
	}
	addr := ""
	for addr == "" {
		if addr, err = registered(ctx); err != nil {
			return left, closed, fmt.Errorf("%w\n%s", err, c.output())
		}
	}
	ended, began := c.wait(ctx), time.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- dockerStop(ctx, c) }()
	for left.IsZero() || closed.IsZero() {
		if closed.IsZero() && !accepts(addr) {
			closed = time.Now()
		}
		if left.IsZero() {
			now, err := registered(ctx)
			if err != nil {
				return left, closed, err
			}
			if now == "" {
				left = time.Now()
			}
		}
	}
	end := <-ended
	row.Gone = append(row.Gone, time.Since(began))
	row.Exit(end.code)
	return left, closed, errors.Join(end.err, <-stopped)
}

// accepts reports whether there is a listener. The connection is closed at once.
func accepts(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
