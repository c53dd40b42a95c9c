package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// An entry is one key and its lease. Whoever holds busy owns it; while the
// keep-alive runs, which is from Register to the join in Deregister, that owns
// value, lease and ttl.
type entry struct {
	r      *Registrar
	key    string
	busy   chan struct{} // a mutex that can be waited for with a context
	stop   context.CancelFunc
	joined chan struct{} // closed when the keep-alive has ended; nil if there is none

	value string
	lease clientv3.LeaseID // the key may be there as long as this is; NoLease if it is not
	ttl   time.Duration    // as etcd has granted it
}

func (e *entry) acquire(ctx context.Context) error {
	select {
	case e.busy <- struct{}{}:
		return nil
	default: // also if ctx has ended: the keep-alive can be stopped
	}
	select {
	case e.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for another call: %w", context.Cause(ctx))
	}
}

func (e *entry) release() { <-e.busy }

// put writes the key with a lease. What fails half way is tried again with the
// same lease, so that there is only ever one to revoke.
func (e *entry) put(ctx context.Context) error {
	for fresh := false; ; {
		if e.lease == clientv3.NoLease {
			if err := e.grant(ctx); err != nil {
				return err
			}
			fresh = true
		}
		err := e.each(ctx, func(ctx context.Context) error {
			_, err := e.r.Client.Put(ctx, e.key, e.value, clientv3.WithLease(e.lease))
			return err
		})
		if err == nil {
			return nil
		}
		lost := errors.Is(err, rpctypes.ErrLeaseNotFound)
		if lost {
			e.lease = clientv3.NoLease
		}
		if !lost || fresh {
			return fmt.Errorf("write the key: %w", err)
		}
	}
}

func (e *entry) grant(ctx context.Context) error {
	ttl := e.r.TTL
	if ttl == 0 {
		ttl = defaultTTL
	}
	err := e.each(ctx, func(ctx context.Context) error {
		lease, err := e.r.Client.Grant(ctx, int64(ttl/time.Second))
		if err == nil {
			e.lease, e.ttl = lease.ID, time.Duration(lease.TTL)*time.Second
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("ask for a lease: %w", err)
	}
	return nil
}

// keepAlive renews the lease until ctx ends.
func (e *entry) keepAlive(ctx context.Context) {
	defer close(e.joined)
	const soon = time.Second
	log, failing := e.r.logger(), false
	timer := time.NewTimer(e.ttl / 3)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		err := e.renew(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && failing:
			log.Info("etcd: the registration is alive again", "key", e.key)
		case err != nil && !failing:
			log.Warn("etcd: the registration is not kept alive", "key", e.key, "error", text(err))
		}
		failing = err != nil
		if failing {
			timer.Reset(min(e.ttl/6, soon))
		} else {
			timer.Reset(e.ttl / 3)
		}
	}
}

// renew renews the lease once, or registers again if it is gone.
func (e *entry) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.ttl)
	defer cancel()
	if e.lease != clientv3.NoLease {
		err := e.each(ctx, e.renewOnce)
		if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return err
		}
		e.lease = clientv3.NoLease
		e.r.logger().Warn("etcd: the lease was lost, registering again", "key", e.key)
	}
	return e.put(ctx)
}

// renewOnce is Lease.KeepAliveOnce, which repeats itself without a pause as
// long as no endpoint can be reached; and Lease.KeepAlive stays with the
// endpoint that it began with, also when that is frozen.
func (e *entry) renewOnce(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel() // the stream ends with it
	stream, err := clientv3.RetryLeaseClient(e.r.Client).LeaseKeepAlive(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(e.lease)}); err != nil {
		return err
	}
	answer, err := stream.Recv()
	if err != nil {
		return err
	}
	if answer.TTL <= 0 {
		return rpctypes.ErrLeaseNotFound
	}
	return nil
}

// join stops the keep-alive and waits until it has stopped.
func (e *entry) join(ctx context.Context) error {
	if e.joined == nil {
		return nil
	}
	e.stop()
	select {
	case <-e.joined:
		e.joined = nil
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the keep-alive to end: %w", context.Cause(ctx))
	}
}

// revoke ends the lease, and with it the key, and looks whether that is so.
func (e *entry) revoke(ctx context.Context) error {
	err := e.each(ctx, func(ctx context.Context) error {
		_, err := e.r.Client.Revoke(ctx, e.lease)
		if errors.Is(err, rpctypes.ErrLeaseNotFound) { // the reply of an earlier attempt was lost
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("revoke its lease: %w", err)
	}
	err = e.each(ctx, func(ctx context.Context) error {
		found, err := e.r.Client.Get(ctx, e.key)
		if err == nil && len(found.Kvs) > 0 && clientv3.LeaseID(found.Kvs[0].Lease) == e.lease {
			return errors.New("it is still there")
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read it back: %w", err)
	}
	return nil
}

// each tries call until it succeeds, once more than there are endpoints. An
// attempt has its share of the time that is left.
func (e *entry) each(ctx context.Context, call func(context.Context) error) error {
	for left := len(e.r.Client.Endpoints()) + 1; ; left-- {
		err := attempt(ctx, left, call)
		if err == nil || left == 1 || ctx.Err() != nil || errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return err
		}
	}
}

func attempt(ctx context.Context, left int, call func(context.Context) error) error {
	share := maxAttempt
	if deadline, ok := ctx.Deadline(); ok {
		share = min(share, time.Until(deadline)/time.Duration(left))
	}
	ctx, cancel := context.WithTimeout(ctx, share)
	defer cancel()
	return call(ctx)
}
