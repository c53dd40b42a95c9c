module github.com/gracefulgo/shutdown/examples/recipes/controllerruntime

go 1.26.0

require (
	github.com/gracefulgo/shutdown v0.0.0
	github.com/gracefulgo/shutdown/examples/recipes v0.0.0
	github.com/stretchr/testify v1.12.1
	k8s.io/api v0.37.0
	k8s.io/client-go v0.37.0
	sigs.k8s.io/controller-runtime v0.25.2
)

replace (
	github.com/gracefulgo/shutdown => ../../../
	github.com/gracefulgo/shutdown/examples/recipes => ../
	github.com/gracefulgo/shutdown/grpcserver => ../../../grpcserver
)
