package httpserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// A protocol is one that server and client speak.
type protocol struct {
	version int
	tls     bool
	h2c     bool
}

var protocols = map[string]protocol{
	"HTTP/1.1":        {version: 1},
	"HTTPS":           {version: 1, tls: true},
	"HTTP/2 over TLS": {version: 2, tls: true},
	"h2c":             {version: 2, h2c: true},
}

func (p protocol) scheme() string {
	if p.tls {
		return "https://"
	}
	return "http://"
}

// configure prepares srv for the protocol.
func (p protocol) configure(srv *http.Server) {
	if p.tls {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate()}}
	}
	srv.Protocols = new(http.Protocols)
	switch {
	case p.h2c:
		srv.Protocols.SetUnencryptedHTTP2(true)
	case p.version == 2:
		srv.Protocols.SetHTTP2(true)
	default:
		srv.Protocols.SetHTTP1(true)
	}
}

// serve prepares srv for the protocol, calls start, and returns the URL.
func (p protocol) serve(t testing.TB, srv *http.Server, start func(net.Listener)) (url string) {
	t.Helper()
	p.configure(srv)
	ln := listen(t)
	start(ln)
	return p.scheme() + ln.Addr().String()
}

func (p protocol) client(t testing.TB) *http.Client {
	transport := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: clientTLS()}
	switch {
	case p.h2c:
		transport.Protocols.SetUnencryptedHTTP2(true)
	case p.version == 2:
		transport.Protocols.SetHTTP2(true)
	default:
		transport.Protocols.SetHTTP1(true)
	}
	return clientOf(t, transport)
}

func clientTLS() *tls.Config {
	roots := x509.NewCertPool()
	cert, err := x509.ParseCertificate(certificate().Certificate[0])
	if err != nil {
		panic(err)
	}
	roots.AddCert(cert)
	return &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// certificate returns a self-signed certificate.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), // virtual time starts in the year 2000
		DNSNames:     []string{"localhost"},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})
