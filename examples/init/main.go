// Init is a service that needs a second to clean up, in four container images that
// differ in what is PID 1:
//
//	./examples/init/run.sh
//
// runs each of them as PID 1 of a PID namespace, without a container engine, and
// stops it as docker stop does. It prints whether the service got the signal, whether
// it cleaned up, and the exit code.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/gracefulgo/shutdown"
)

func main() {
	m, err := shutdown.New(shutdown.Config{})
	if err != nil {
		log.Fatal(err)
	}
	context.AfterFunc(m.AcceptContext(), func() { fmt.Println("app:", context.Cause(m.AcceptContext())) })
	m.On(shutdown.Close, "journal", func(context.Context) error {
		time.Sleep(time.Second)
		fmt.Println("app: cleaned up")
		return nil
	})
	fmt.Println("app: ready")
	os.Exit(shutdown.ExitCode(m.Wait()))
}
