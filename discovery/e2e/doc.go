// Package e2e tests package discovery with real registries: etcd, which runs in the
// test process, Consul, which .ci/consul builds, and the etcd registrar of go-kratos.
// It is a module of its own that is never tagged, so that users of discovery/etcd and
// discovery/consul do not require them.
package e2e
