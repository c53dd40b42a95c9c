package drill

import (
	"crypto/tls"
	"net/http"

	"github.com/gracefulgo/shutdown/internal/load"
)

// A Target is a program, and what its clients send to it.
type Target struct {
	Name    string // for the table, if there is more than one
	Command []string
	Env     []string // in addition to that of this process

	Addr    string // host:port
	Path    string
	TLS     *tls.Config   // nil means no TLS
	Request *load.Request // nil means a body that the program returns, and no idle connection
	Held    string        // path of a request that takes long, sent before the stop; "" means none
}

func (t *Target) url(path string) string {
	if t.TLS != nil {
		return "https://" + t.Addr + path
	}
	return "http://" + t.Addr + path
}

// transport returns a transport for the protocol of a mode, without the proxies of the
// environment.
func (t *Target) transport(mode load.Mode) *http.Transport {
	tr := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	switch http2 := mode == load.HTTP2 || mode == load.HTTP2Shared; {
	case http2 && t.TLS != nil:
		tr.Protocols.SetHTTP2(true)
	case http2:
		tr.Protocols.SetUnencryptedHTTP2(true)
	default:
		tr.Protocols.SetHTTP1(true)
	}
	if t.TLS != nil {
		tr.TLSClientConfig = t.TLS.Clone() // net/http modifies it
	}
	return tr
}
