// Package e2e tests package discovery against real registries: etcd, which runs
// inside of the test, Consul, which .ci/consul builds, and the etcd registrar
// of go-kratos. It is a module of its own, never tagged, so that none of them
// is required by those who use discovery/etcd or discovery/consul.
package e2e
