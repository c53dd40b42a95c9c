// Package tests is a consumer that is tested in virtual time.
package tests

import (
	"context"
	"time"

	"github.com/gracefulgo/shutdown"
)

// A Queue delivers orders.
type Queue struct {
	orders  chan string
	Handled []string
}

// Consume handles each order in five seconds.
func (q *Queue) Consume(ctx context.Context) error {
	m, _ := shutdown.FromContext(ctx)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		select {
		case order := <-q.orders:
			select {
			case <-time.After(5 * time.Second):
				q.Handled = append(q.Handled, order)
			case <-m.WorkContext().Done():
				return context.Cause(m.WorkContext())
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
