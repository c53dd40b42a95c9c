package httpserver_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

// The server would serve all clients without TLS.
func TestClientAuthWithoutACertificateIsAnError(t *testing.T) {
	for name, config := range map[string]*tls.Config{
		"ClientAuth": {ClientAuth: tls.RequireAndVerifyClientCert},
		"ClientCAs":  {ClientCAs: x509.NewCertPool()},
	} {
		t.Run(name, func(t *testing.T) {
			m := manager(t, shutdown.Config{})
			_, err := httpserver.Start(m, &http.Server{Addr: loopback.Addr(), TLSConfig: config})
			require.ErrorContains(t, err, "TLSConfig."+name)
			require.ErrorContains(t, err, "no certificate")
			require.Equal(t, shutdown.Running, m.Phase())
			require.Empty(t, m.Report().Pending)

			// The caller's listener may do TLS itself.
			startOn(t, m, &http.Server{TLSConfig: config}, tls.NewListener(listen(t), &tls.Config{Certificates: []tls.Certificate{certificate()}}))
		})
	}
}

func TestStartTLSWithFiles(t *testing.T) {
	cert := certificate()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: key}} {
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	}
	m := manager(t, shutdown.Config{})
	s, err := httpserver.StartTLS(m, &http.Server{Addr: loopback.Addr(), Handler: http.NotFoundHandler()}, certFile, keyFile)
	require.NoError(t, err)
	require.Equal(t, 404, get(t, protocols["HTTPS"].client(t), "https://"+s.Addr().String()).status)
	require.Equal(t, "https "+s.Addr().String(), m.Report().Pending[0].Name)

	for name, files := range map[string][2]string{
		"missing":  {filepath.Join(dir, "none"), keyFile},
		"mixed up": {keyFile, certFile},
		"neither":  {},
		"only one": {certFile, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := httpserver.StartTLS(m, &http.Server{Addr: loopback.Addr()}, files[0], files[1])
			require.ErrorContains(t, err, "certFile")
			require.ErrorContains(t, err, files[0])
		})
	}
}
