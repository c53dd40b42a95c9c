package listener

import (
	"context"
	"net"
	"reflect"
)

// Around returns a Listener for outer, which wraps inner: which gets connections
// from inner's Accept, and hands out what it makes of them. Draining the Listener
// drains inner while outer goes on, so that nobody is lost in either; then both
// are closed.
//
// Several may be around one: cmux and its like make many listeners of one. The
// first that drains drains them all, for a client cannot tell which it would
// reach. What inner has handed out and is still inside of one of them, because
// its client has to send something first, has 50 ms in which nothing comes out.
//
// [New] finds inner by itself in most cases.
func Around(outer net.Listener, inner *Listener) *Listener {
	l := wrap(outer)
	l.socket = nil // inner's
	l.below = inner
	inner.wrapped.Store(true)
	return l
}

// base is the Listener whose socket it is.
func (l *Listener) base() *Listener {
	for l.below != nil {
		l = l.below
	}
	return l
}

// cameOut counts a connection that has come out of all that is around the base.
func (l *Listener) cameOut() {
	if l.below == nil || l.wrapped.Load() {
		return
	}
	base := l.base()
	base.out.Add(1)
	base.signal()
}

// inside reports whether something around the listener may have connections that
// it has not handed out.
func (l *Listener) inside() bool {
	return l.wrapped.Load() && l.out.Load() < l.handed.Load()
}

// drainBelow is the drain of a Listener that is around others.
func (l *Listener) drainBelow(ctx context.Context) error {
	err := l.base().Drain(ctx)
	// The base is closed, and that is what counts. Whatever is around it may say
	// that it has been so before.
	_ = l.Close()
	return err
}

// listenerIn looks for the Listener that ln wraps.
func listenerIn(ln net.Listener) *Listener {
	for range 10 { // one that wraps itself has no end
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
