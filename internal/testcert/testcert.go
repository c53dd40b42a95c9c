// Package testcert makes self-signed certificates for the TLS servers of tests.
package testcert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"
)

// serverName is the name that each certificate is for.
const serverName = "shutdown.test"

// A Certificate is a self-signed certificate with its key. It can be passed to a
// child process as JSON. The key is ECDSA, because with RSA the handshakes would
// be most of what a test costs.
type Certificate struct {
	DER []byte
	Key []byte // ECDSA, in SEC 1 form
}

// New makes a certificate that is valid for a day.
func New() (Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, fmt.Errorf("making a key: %w", err)
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
		return Certificate{}, fmt.Errorf("making a certificate: %w", err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	return Certificate{der, keyDER}, err
}

// Server returns the configuration of a server that presents c.
func (c Certificate) Server() (*tls.Config, error) {
	key, err := x509.ParseECPrivateKey(c.Key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{c.DER}, PrivateKey: key}}}, nil
}

// Client returns the configuration of a client that trusts c alone.
func (c Certificate) Client() (*tls.Config, error) {
	certificate, err := x509.ParseCertificate(c.DER)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return &tls.Config{RootCAs: roots, ServerName: serverName}, nil
}
