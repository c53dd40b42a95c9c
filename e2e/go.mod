module github.com/gracefulgo/shutdown/e2e

go 1.25.0

require (
	github.com/gracefulgo/shutdown v0.0.0
	github.com/gracefulgo/shutdown/systemd v0.0.0
	github.com/stretchr/testify v1.11.1
	golang.org/x/sys v0.47.0
)

require (
	github.com/coreos/go-systemd/v22 v22.7.0 // indirect
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/godbus/dbus/v5 v5.2.4 // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	golang.org/x/sync v0.22.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)

replace github.com/gracefulgo/shutdown => ../

replace github.com/gracefulgo/shutdown/systemd => ../systemd
