package orders

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// MaxBody is the limit for the body of a request.
const MaxBody = 1 << 20

// Mux serves the orders of s over HTTP, as JSON:
//
//	POST /orders      stores an order and returns it with its id, as 201
//	GET /orders/{id}  returns an order, or 404
func Mux(s *Store) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var o Order
		if err := json.Unmarshal(body, &o); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		o, err = s.create(o)
		if err != nil {
			http.Error(w, err.Error(), httpStatus(err))
			return
		}
		created.WithLabelValues("http").Inc()
		respond(w, http.StatusCreated, o)
	})
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		o, err := s.get(r.PathValue("id"))
		if err != nil {
			http.Error(w, err.Error(), httpStatus(err))
			return
		}
		respond(w, http.StatusOK, o)
	})
	return mux
}

func respond(w http.ResponseWriter, status int, o Order) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(o) // an error means that the client has gone
}

func httpStatus(err error) int {
	switch {
	case errors.Is(err, errInvalid):
		return http.StatusBadRequest
	case errors.Is(err, errNotFound):
		return http.StatusNotFound
	case errors.Is(err, errClosed):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
