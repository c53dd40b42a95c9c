//go:build linux

package main

import (
	"fmt"
	"time"
)

// A setting is how a proxy is configured.
type setting struct {
	proxy  *proxy
	text   string   // for the table: what differs from the proxy's defaults
	lines  []string // of the configuration
	server string   // parameters of each server
}

// A setup is a row of the table.
type setup struct {
	setting
	service  string // a role
	lameDuck time.Duration

	// early starts the next restart when the restarted instance is ready, although the
	// proxy may not send requests to it yet.
	early bool

	// recommended is set if no request may fail or be delayed.
	recommended bool
}

func (s setup) String() string {
	return fmt.Sprintf("%s, %s, %s, lame duck %v", s.proxy.name, s.what(), s.service, s.lameDuck)
}

func (s setup) what() string {
	if s.early {
		return s.text + "; the next restart when ready"
	}
	return s.text
}

var (
	haproxyNoRetries = setting{
		proxy: &haproxy, text: "retries 0",
		lines: []string{"retries 0", "timeout connect 200ms"},
	}
	haproxyDefaults = setting{
		proxy: &haproxy, text: "retries 3 (the default)",
		lines: []string{"timeout connect 5s"},
	}
	haproxyRedispatch = setting{
		proxy: &haproxy, text: "retries 3, option redispatch 1, timeout connect 200ms",
		lines: []string{"retries 3", "option redispatch 1", "timeout connect 200ms"},
	}

	nginxOff = setting{
		proxy: &nginx, text: "proxy_next_upstream off",
		lines: []string{"proxy_next_upstream off"}, server: "max_fails=0",
	}
	nginxDefaults = setting{
		proxy: &nginx, text: "the defaults",
	}
	nginxMaxFails = setting{
		proxy: &nginx, text: "max_fails=0",
		server: "max_fails=0",
	}
	nginxFailTimeout = setting{
		proxy: &nginx, text: "fail_timeout=1s, proxy_connect_timeout 200ms",
		lines: []string{"proxy_connect_timeout 200ms"}, server: "fail_timeout=1s",
	}
	nginxConnectTimeout = setting{
		proxy: &nginx, text: "max_fails=0, proxy_connect_timeout 200ms",
		lines: []string{"proxy_connect_timeout 200ms"}, server: "max_fails=0",
	}
)

const long = 1500 * time.Millisecond

var setups = []setup{
	{setting: haproxyNoRetries, service: "plain"},
	{setting: haproxyNoRetries, service: "library"},
	{setting: haproxyNoRetries, service: "plain", lameDuck: long},
	{setting: haproxyNoRetries, service: "library", lameDuck: long},
	{setting: haproxyDefaults, service: "plain"},
	{setting: haproxyDefaults, service: "library"},
	{setting: haproxyRedispatch, service: "plain"},
	{setting: haproxyRedispatch, service: "library"},
	{setting: haproxyRedispatch, service: "plain", lameDuck: long},
	{setting: haproxyRedispatch, service: "library", lameDuck: long, recommended: true},

	{setting: nginxOff, service: "plain"},
	{setting: nginxOff, service: "library"},
	{setting: nginxOff, service: "library", lameDuck: long},
	{setting: nginxDefaults, service: "library", early: true},
	{setting: nginxDefaults, service: "library"},
	{setting: nginxMaxFails, service: "library"},
	{setting: nginxFailTimeout, service: "library"},
	{setting: nginxConnectTimeout, service: "plain"},
	{setting: nginxConnectTimeout, service: "plain", lameDuck: long},
	{setting: nginxConnectTimeout, service: "library"},
	{setting: nginxConnectTimeout, service: "library", lameDuck: long, recommended: true},
}
