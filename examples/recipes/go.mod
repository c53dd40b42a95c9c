module github.com/gracefulgo/shutdown/examples/recipes

go 1.26.0

require (
	github.com/go-chi/chi/v5 v5.5.0
	github.com/gracefulgo/shutdown v0.0.0
	github.com/stretchr/testify v1.12.1
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sync v0.25.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
)

replace (
	github.com/gracefulgo/shutdown => ../../
	github.com/gracefulgo/shutdown/grpcserver => ../../grpcserver
)
