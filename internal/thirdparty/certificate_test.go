package thirdparty

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serverName is whom the certificate is for.
const serverName = "thirdparty.test"

type identity struct{ server, client *tls.Config }

// newIdentity makes the one of all servers. ECDSA, because it is quick.
var newIdentity = sync.OnceValues(func() (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{serverName},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return identity{}, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return identity{}, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return identity{
		server: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		client: &tls.Config{RootCAs: roots, ServerName: serverName},
	}, nil
})

// certificate returns configurations that go together. They may be changed.
func certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	id, err := newIdentity()
	require.NoError(t, err)
	return id.server.Clone(), id.client.Clone()
}
