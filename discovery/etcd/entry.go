package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/gracefulgo/shutdown/discovery"
)

// maxAttempt limits one call to etcd. A call that succeeds takes less.
const maxAttempt = 5 * time.Second

// An entry is one key and its lease. The methods below run under keepAlive, one at
// a time.
type entry struct {
	keepAlive discovery.KeepAlive
	r         *Registrar
	key       string

	value string
	lease clientv3.LeaseID // NoLease if there is none; without it the key does not exist
	ttl   time.Duration    // as granted by etcd
}

// put writes the key with a lease. After an error it keeps the lease for the next
// attempt, so that there is never more than one to revoke.
func (e *entry) put(ctx context.Context) error {
	for granted := false; ; {
		if e.lease == clientv3.NoLease {
			if err := e.grant(ctx); err != nil {
				return err
			}
			granted = true
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
		if !lost || granted {
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
		// Client.Grant would replace the reason, such as a refused connection or a wrong
		// certificate, by "context deadline exceeded" (etcd-io/etcd#9619).
		lease, err := clientv3.RetryLeaseClient(e.r.Client).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: int64(ttl / time.Second)}, grpc.WaitForReady(true))
		switch {
		case err == nil:
			e.lease, e.ttl = clientv3.LeaseID(lease.ID), time.Duration(lease.TTL)*time.Second
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %s", ctx.Err(), rpctypes.ErrorDesc(err))
		}
		return rpctypes.Error(err)
	})
	if err != nil {
		return fmt.Errorf("ask for a lease: %w", err)
	}
	return nil
}

func (e *entry) renew(ctx context.Context) (lost bool, err error) {
	err = e.each(ctx, e.renewOnce)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		e.lease = clientv3.NoLease
		return true, nil
	}
	return false, err
}

// renewOnce does what Lease.KeepAliveOnce does. That one retries without a pause as
// long as no endpoint is reachable, and Lease.KeepAlive stays with the endpoint that
// it started with, even if this endpoint hangs.
func (e *entry) renewOnce(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel() // ends the stream
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

func (e *entry) deregister(ctx context.Context) error {
	if e.lease == clientv3.NoLease {
		return nil
	}
	if err := e.revoke(ctx); err != nil {
		return fmt.Errorf("%w (its lease ends in %v at the latest)", err, e.ttl)
	}
	e.lease = clientv3.NoLease
	return nil
}

// revoke revokes the lease, which deletes the key, and checks that the key is gone.
func (e *entry) revoke(ctx context.Context) error {
	err := e.each(ctx, func(ctx context.Context) error {
		_, err := e.r.Client.Revoke(ctx, e.lease)
		if errors.Is(err, rpctypes.ErrLeaseNotFound) { // an earlier attempt succeeded, and its reply was lost
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
			return errors.New("it still exists")
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read the key back: %w", err)
	}
	return nil
}

// each tries call until it succeeds, once more than there are endpoints. An attempt
// gets its share of the time that is left.
func (e *entry) each(ctx context.Context, call func(context.Context) error) error {
	for left := len(e.r.Client.Endpoints()) + 1; ; left-- {
		err := attempt(ctx, left, call)
		if err == nil || left == 1 || ctx.Err() != nil || errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return err
		}
	}
}

func attempt(ctx context.Context, left int, call func(context.Context) error) error {
	limit := maxAttempt
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/time.Duration(left))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return call(ctx)
}
