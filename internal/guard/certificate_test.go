package guard

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"sync"
	"time"
)

// serverName is whom the certificate is for.
const serverName = "guard.test"

// An identity is a server's certificate and its key.
type identity struct {
	Certificate []byte // DER
	Key         []byte // of an ECDSA key
}

// newIdentity makes the one of all servers of this run. ECDSA, because 32 RSA
// handshakes would be most of what a round costs.
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
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return identity{}, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	return identity{certificate, der}, err
})

func (i identity) server() (*tls.Config, error) {
	key, err := x509.ParseECPrivateKey(i.Key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{i.Certificate}, PrivateKey: key}}}, nil
}

func (i identity) client() (*tls.Config, error) {
	certificate, err := x509.ParseCertificate(i.Certificate)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return &tls.Config{RootCAs: roots, ServerName: serverName}, nil
}
