//go:build linux

package cluster

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
)

const (
	etcdClients = "http://127.0.0.1:2379"
	etcdPeers   = "http://127.0.0.1:2380"
	apiServer   = "https://" + nodeAddress + ":6443"
	adminToken  = "admin-token" // nothing outside of the network namespace can use it
)

// object is a JSON object. All configuration files are JSON, which YAML includes.
type object = map[string]any

// writeJSON writes a configuration file of the state and returns its path.
func (c *Cluster) writeJSON(name string, o object) (string, error) {
	text, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return "", err
	}
	return c.path(name), os.WriteFile(c.path(name), text, 0o600)
}

func (c *Cluster) startEtcd(ctx context.Context) error {
	return c.startDaemon(ctx, isOK(etcdClients+"/health"), "etcd",
		"--data-dir", c.path("etcd"),
		"--listen-client-urls", etcdClients, "--advertise-client-urls", etcdClients,
		"--listen-peer-urls", etcdPeers, "--initial-advertise-peer-urls", etcdPeers,
		"--initial-cluster", "default="+etcdPeers,
		"--unsafe-no-fsync") // the data need not survive anything
}

func (c *Cluster) startAPIServer(ctx context.Context) error {
	pki := c.path("pki")
	if err := os.Mkdir(pki, 0o700); err != nil {
		return err
	}
	tokens, key := filepath.Join(pki, "tokens.csv"), filepath.Join(pki, "service-account.key")
	if err := errors.Join(
		os.WriteFile(tokens, []byte(adminToken+`,admin,1,"system:masters"`), 0o600),
		writeKey(key),
	); err != nil {
		return err
	}
	if _, err := c.writeJSON("kubeconfig", object{
		"apiVersion": "v1", "kind": "Config", "current-context": "e2e",
		"clusters": []object{{"name": "e2e", "cluster": object{
			"server": apiServer,
			// The API server signs its certificate itself, and adds the signer's to it.
			"certificate-authority": filepath.Join(pki, "apiserver.crt"),
		}}},
		"users":    []object{{"name": "admin", "user": object{"token": adminToken}}},
		"contexts": []object{{"name": "e2e", "context": object{"cluster": "e2e", "user": "admin"}}},
	}); err != nil {
		return err
	}
	return c.startDaemon(ctx, func(ctx context.Context) error {
		_, err := c.Kubectl(ctx, "", "get", "--raw", "/readyz", "--request-timeout", "5s")
		return err
	}, filepath.Join(c.bin, "kube-apiserver"),
		"--etcd-servers", etcdClients,
		"--bind-address", "0.0.0.0", "--secure-port", "6443", "--advertise-address", nodeAddress,
		"--cert-dir", pki,
		"--service-cluster-ip-range", serviceNet,
		"--service-account-issuer", "https://kubernetes.test",
		"--service-account-key-file", key, "--service-account-signing-key-file", key,
		"--token-auth-file", tokens, "--authorization-mode", "AlwaysAllow",
		"--disable-admission-plugins", "ServiceAccount", // pods need no token
		"--allow-privileged",
		"--kubelet-preferred-address-types", "InternalIP") // there is no DNS
}

func (c *Cluster) startControllerManager(ctx context.Context) error {
	return c.startDaemon(ctx, isOK("https://127.0.0.1:10257/healthz"), filepath.Join(c.bin, "kube-controller-manager"),
		"--kubeconfig", c.path("kubeconfig"),
		"--authentication-skip-lookup",
		"--leader-elect=false", // there is no other one
		"--cert-dir", c.path("pki"),
		"--flex-volume-plugin-dir", volumePlugins,
		"--service-cluster-ip-range", serviceNet,
		"--use-service-account-credentials=false")
}

func (c *Cluster) startScheduler(ctx context.Context) error {
	return c.startDaemon(ctx, isOK("https://127.0.0.1:10259/healthz"), filepath.Join(c.bin, "kube-scheduler"),
		"--kubeconfig", c.path("kubeconfig"),
		"--authentication-skip-lookup",
		"--leader-elect=false")
}

// writeKey writes a new key to the file at path.
func writeKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	return os.WriteFile(path, pem.EncodeToMemory(block), 0o600)
}
