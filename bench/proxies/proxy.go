//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/process"
)

// checkInterval is the time between two health checks of HAProxy. Two that fail take an
// instance out, so the lame duck has to be longer than two intervals.
const checkInterval = 500 * time.Millisecond

// A proxy is a program that distributes requests to the instances.
type proxy struct {
	name   string
	args   func(dir, config string) []string
	config *template.Template
}

var haproxy = proxy{
	name: "haproxy",
	args: func(_, config string) []string { return []string{"-db", "-f", config} },
	config: template.Must(template.New("haproxy").Parse(`global
  maxconn 1000
defaults
  mode http
  timeout client 30s
  timeout server 30s
frontend front
  bind {{.Front}}
  default_backend instances
backend instances
  option httpchk GET /readyz
{{- range .Lines}}
  {{.}}
{{- end}}
  default-server check inter {{.CheckInterval.Milliseconds}}ms fall 2 rise 1 {{.Server}}
{{- range $i, $instance := .Instances}}
  server instance{{$i}} {{$instance.Addr}} port {{$instance.AdminPort}}
{{- end}}
`))}

var nginx = proxy{
	name: "nginx",
	args: func(dir, config string) []string {
		return []string{"-p", dir, "-e", "stderr", "-c", config}
	},
	config: template.Must(template.New("nginx").Parse(`daemon off;
user root;
pid nginx.pid;
error_log stderr crit;
worker_processes 2;
events {}
http {
  access_log off;
` + nginxTempPaths + `  upstream instances {
    zone instances 64k;
{{- range .Instances}}
    server {{.Addr}} {{$.Server}};
{{- end}}
    keepalive 32;
  }
  server {
    listen {{.Front}};
    location / {
      proxy_pass http://instances;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
{{- range .Lines}}
      {{.}};
{{- end}}
    }
  }
}
`))}

// nginxTempPaths keeps nginx inside of the folder that -p names.
const nginxTempPaths = `  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
`

// find returns an error if the program is not installed.
func (p proxy) find() error {
	if _, err := p.path(); err != nil {
		return fmt.Errorf("looking for %s (Debian and Ubuntu: apt-get install haproxy nginx-light): %w", p.name, err)
	}
	return nil
}

// path also looks in /usr/sbin, which is not in the PATH of every user.
func (p proxy) path() (string, error) {
	path, err := exec.LookPath(p.name)
	if err != nil {
		if path, sbinErr := exec.LookPath(filepath.Join("/usr/sbin", p.name)); sbinErr == nil {
			return path, nil
		}
	}
	return path, err
}

// A runningProxy is a proxy that was started.
type runningProxy struct {
	addr   string
	tree   *process.Tree
	output bytes.Buffer // may be read when tree has ended
}

// start starts the proxy in front of the instances, with its files in dir, and waits until
// a request through it is answered.
func (s setting) start(ctx context.Context, dir string, instances []*instance) (*runningProxy, error) {
	addr, err := loopback.FreeAddr()
	if err != nil {
		return nil, err
	}
	r := &runningProxy{addr: addr}
	var config bytes.Buffer
	if err := s.proxy.config.Execute(&config, map[string]any{
		"Front": r.addr, "Instances": instances, "CheckInterval": checkInterval, "Lines": s.lines, "Server": s.server,
	}); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, s.proxy.name+".conf")
	if err := os.WriteFile(file, config.Bytes(), 0o600); err != nil {
		return nil, err
	}
	path, err := s.proxy.path()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, s.proxy.args(dir, file)...)
	cmd.Stdout, cmd.Stderr = &r.output, &r.output
	r.tree, err = process.Start(cmd, process.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	err = poll(ctx, func(ctx context.Context) bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.addr, strings.NewReader("body"))
		if err != nil || r.tree.State() != process.Running {
			return true
		}
		_, ok := answer(req)
		return ok
	})
	if err == nil && r.tree.State() != process.Running {
		err = errors.New("it has ended")
	}
	if err != nil {
		err = errors.Join(err, r.stop())
		return nil, fmt.Errorf("starting %s: %w\nits output:\n%s\nits configuration:\n%s", s.proxy.name, err, &r.output, &config)
	}
	return r, nil
}

// stop ends the proxy and all of its processes.
func (r *runningProxy) stop() error { return r.tree.Stop(context.Background()) }
