// Package recipes is a module with the programs of docs/recipes.md. Each directory is a
// program that runs; the lines between "// recipe" and "// end" are in the documentation.
// Its tests start the program, send it SIGTERM in the middle of its work, and compare what
// it prints with the documentation. They need a Unix system:
//
//	GOWORK=off go test -C examples/recipes ./...
//
// The module is not in go.work, because its requirements would raise the versions with
// which all other modules are tested. controllerruntime is one more module, for the same
// reason.
package recipes
