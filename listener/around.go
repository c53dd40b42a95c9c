package listener

import (
	"context"
	"net"
	"reflect"
	"time"
)

// Around returns a Listener for outer, which wraps inner: outer takes connections
// from inner's Accept and returns them, possibly changed. Draining the returned
// Listener drains inner while outer goes on accepting, so that no connection is lost
// in either of them. Then both are closed.
//
// Several Listeners may be around the same inner, as with cmux, which makes many
// listeners of one. The first Drain drains all of them, because a client cannot choose
// which of them it reaches. Connections that inner has returned and outer has not, for
// example because outer waits for the client's first bytes, are waited for until
// outer has returned nothing for 50 ms.
//
// [New] calls Around by itself in most cases.
func Around(outer net.Listener, inner *Listener) *Listener {
	l := wrap(outer)
	l.socket = nil // it is inner's
	l.wraps = inner
	inner.wrapped.Store(true)
	return l
}

// base returns the Listener that has the socket.
func (l *Listener) base() *Listener {
	for l.wraps != nil {
		l = l.wraps
	}
	return l
}

// countDelivered counts a connection that has left the outermost listener.
func (l *Listener) countDelivered() {
	if l.wraps == nil || l.wrapped.Load() {
		return
	}
	base := l.base()
	base.delivered.Add(1)
	base.wake()
}

// allCounted reports whether accepted counts all connections that have been in the queue,
// which is empty. A call of Accept may have taken one and not counted it yet: it is the one
// that a deadline does not interrupt.
func (l *Listener) allCounted() bool {
	inner, ok := l.inner.(interface{ SetDeadline(time.Time) error })
	if !ok || !l.wrapped.Load() {
		return true
	}
	l.emptied.Store(true)
	_ = inner.SetDeadline(time.Unix(1, 0)) // in the past; an error means that it is closed
	return l.waiting.Load() == l.accepting.Load()
}

// hasUndelivered reports whether a listener around this one may hold connections
// that it has not returned.
func (l *Listener) hasUndelivered() bool {
	return l.wrapped.Load() && l.delivered.Load() < l.accepted.Load()
}

// drainBase drains a Listener that is around another.
func (l *Listener) drainBase(ctx context.Context) error {
	err := l.base().Drain(ctx)
	// The base is closed. Closing a wrapper may fail because of that.
	_ = l.Close()
	return err
}

// wrappedListener returns the Listener that ln wraps, or nil.
func wrappedListener(ln net.Listener) *Listener {
	for range 10 { // a listener may wrap itself
		v := reflect.ValueOf(ln)
		for v.Kind() == reflect.Pointer && !v.IsNil() {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return nil
		}
		field, ok := v.Type().FieldByName("Listener")
		if !ok || !field.IsExported() {
			return nil
		}
		v, err := v.FieldByIndexErr(field.Index)
		if err != nil || !v.CanInterface() {
			return nil
		}
		switch inner := v.Interface().(type) {
		case *Listener:
			return inner
		case net.Listener:
			ln = inner
		default:
			return nil
		}
	}
	return nil
}
