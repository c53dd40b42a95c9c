package grpcserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/gracefulgo/shutdown"
)

var certificate = sync.OnceValues(func() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotAfter:    time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC), // virtual time starts in 2000
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"memory"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
})

func serverTLS(t testing.TB) *tls.Config {
	cert, err := certificate()
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

func clientTLS(t testing.TB) credentials.TransportCredentials {
	cert, err := certificate()
	require.NoError(t, err)
	root, err := x509.ParseCertificate(cert.Certificate[0])
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(root)
	return credentials.NewTLS(&tls.Config{RootCAs: pool, ServerName: "memory"})
}

// No RPC is lost, whatever the options of the server.
func TestNoRPCIsLost(t *testing.T) {
	t.Parallel()
	tlsCreds, both := credentials.NewTLS(serverTLS(t)), []bool{false, true}
	for name, server := range map[string]struct {
		opts    []grpc.ServerOption
		secure  bool
		perCall []bool
	}{
		"over TLS": {[]grpc.ServerOption{grpc.Creds(tlsCreds)}, true, both},
		// On a slow machine a connection may reach its age before its first RPC.
		"with keepalive and MaxConnectionAge": {[]grpc.ServerOption{grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: 50 * time.Millisecond, MaxConnectionAgeGrace: crowded, Time: time.Second, Timeout: crowded,
		})}, false, []bool{false}},
		"with workers":                  {[]grpc.ServerOption{grpc.NumStreamWorkers(4)}, false, both},
		"with WaitForHandlers":          {[]grpc.ServerOption{grpc.WaitForHandlers(true)}, false, both},
		"with few streams a connection": {[]grpc.ServerOption{grpc.MaxConcurrentStreams(3)}, false, both},
	} {
		for _, lameDuck := range []time.Duration{0, 200 * time.Millisecond} {
			for _, perCall := range server.perCall {
				t.Run(name+map[bool]string{true: ", a connection for each call"}[perCall]+map[bool]string{true: ", lame duck"}[lameDuck > 0], func(t *testing.T) {
					requireNoLoss(t, func() []*crowd {
						m := manager(t, shutdown.Config{LameDuck: lameDuck})
						c := &crowd{addr: start(t, newServer(m, service{}, server.opts...)), perCall: perCall}
						if server.secure {
							c.creds = clientTLS(t)
						}
						c.start(t)
						c.warm(t)
						require.NoError(t, end(t, m))
						c.end(t)
						return []*crowd{c}
					})
				})
			}
		}
	}
}
