// Twomanagers is a service that uses a library with a resource of its own.
package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
	"github.com/gracefulgo/shutdown/httpserver"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

// A DB can be used until it is closed.
type DB struct{ closed atomic.Bool }

// Close closes the database.
func (db *DB) Close() error {
	fmt.Println("db: closed")
	db.closed.Store(true)
	return nil
}

// Insert fails if the database is closed.
func (db *DB) Insert(string) error {
	if db.closed.Load() {
		return errors.New("db: closed")
	}
	return nil
}

func serve(m *shutdown.Manager, db *DB) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		err := demo.Work(r.Context(), r.URL.Path)
		if err == nil {
			err = db.Insert(r.PathValue("id"))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "done")
	})
	_, err := httpserver.Start(m, &http.Server{Addr: demo.Addr, Handler: mux})
	return err
}

// recipe

func start(m *shutdown.Manager) error {
	db := openDB(m)
	return serve(m, db)
}

// openDB opens a database, which m closes. A library that has something to stop takes
// the Manager of its program, or returns a function that stops it.
func openDB(m *shutdown.Manager) *DB {
	db := &DB{}
	m.On(shutdown.Close, "db", shutdown.Closer(db))
	return db
}

// end
