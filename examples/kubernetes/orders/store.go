// Package orders is what the service does: it stores orders, over HTTP and gRPC.
package orders

import (
	"crypto/rand"
	"errors"
	"sync"
)

// An Order is a stored order.
type Order struct {
	ID       string `json:"id"`
	Item     string `json:"item"`
	Quantity int32  `json:"quantity"`
}

var (
	errInvalid  = errors.New("an order needs an item, and a quantity of at least 1")
	errNotFound = errors.New("there is no such order")
	errClosed   = errors.New("the store is closed")
)

// kept is how many orders a Store keeps, because memory is limited.
const kept = 100_000

// A Store keeps the latest orders in memory. It stands for a database: each instance of
// the service has its own, and they are gone when it exits.
type Store struct {
	mu     sync.Mutex // protects what follows
	orders map[string]Order
	ids    []string // a ring, of up to kept
	oldest int      // the index in ids, if the ring is full
	closed bool
}

// NewStore returns an empty Store.
func NewStore() *Store { return &Store{orders: make(map[string]Order)} }

func (s *Store) create(o Order) (Order, error) {
	if o.Item == "" || o.Quantity < 1 {
		return Order{}, errInvalid
	}
	o.ID = rand.Text() // unique, although no instance knows the ids of the others
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Order{}, errClosed
	}
	if len(s.ids) < kept {
		s.ids = append(s.ids, o.ID)
	} else {
		delete(s.orders, s.ids[s.oldest])
		s.ids[s.oldest] = o.ID
		s.oldest = (s.oldest + 1) % kept
	}
	s.orders[o.ID] = o
	return o, nil
}

func (s *Store) get(id string) (Order, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Order{}, errClosed
	}
	o, ok := s.orders[id]
	if !ok {
		return Order{}, errNotFound
	}
	return o, nil
}

// Close closes the store. Requests that come later fail, as with a database, so it has to
// be called when none is in flight.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
