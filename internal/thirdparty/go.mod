module github.com/gracefulgo/shutdown/internal/thirdparty

go 1.25.0

require (
	github.com/cloudflare/tableflip v1.2.3
	github.com/coder/websocket v1.8.15
	github.com/go-chi/chi/v5 v5.5.0
	github.com/gorilla/websocket v1.5.3
	github.com/gracefulgo/shutdown v0.0.0
	github.com/gracefulgo/shutdown/grpcserver v0.0.0
	github.com/justinas/alice v1.2.0
	github.com/pires/go-proxyproto v0.14.0
	github.com/quic-go/quic-go v0.60.0
	github.com/quic-go/webtransport-go v0.11.0
	github.com/soheilhy/cmux v0.1.5
	github.com/stretchr/testify v1.11.1
	go.uber.org/goleak v1.3.0
	golang.org/x/net v0.57.0
	golang.org/x/sys v0.47.0
	google.golang.org/grpc v1.84.0
)

require (
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/dunglas/httpsfv v1.1.0 // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	github.com/quic-go/qpack v0.6.0 // indirect
	golang.org/x/crypto v0.54.0 // indirect
	golang.org/x/sync v0.22.0 // indirect
	golang.org/x/text v0.40.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260706201446-f0a921348800 // indirect
	google.golang.org/protobuf v1.36.11 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)

replace (
	github.com/gracefulgo/shutdown => ../../
	github.com/gracefulgo/shutdown/grpcserver => ../../grpcserver
)
