package orders

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gracefulgo/shutdown/examples/kubernetes/orderspb"
)

// Register serves the orders of s over gRPC.
func Register(srv grpc.ServiceRegistrar, s *Store) {
	orderspb.RegisterOrdersServer(srv, service{store: s})
}

type service struct {
	orderspb.UnimplementedOrdersServer
	store *Store
}

func (s service) Create(_ context.Context, req *orderspb.CreateRequest) (*orderspb.Order, error) {
	o, err := s.store.create(Order{Item: req.GetItem(), Quantity: req.GetQuantity()})
	if err != nil {
		return nil, status.Error(grpcCode(err), err.Error())
	}
	created.WithLabelValues("grpc").Inc()
	return message(o), nil
}

func (s service) Get(_ context.Context, req *orderspb.GetRequest) (*orderspb.Order, error) {
	o, err := s.store.get(req.GetId())
	if err != nil {
		return nil, status.Error(grpcCode(err), err.Error())
	}
	return message(o), nil
}

func message(o Order) *orderspb.Order {
	return &orderspb.Order{Id: o.ID, Item: o.Item, Quantity: o.Quantity}
}

func grpcCode(err error) codes.Code {
	switch {
	case errors.Is(err, errInvalid):
		return codes.InvalidArgument
	case errors.Is(err, errNotFound):
		return codes.NotFound
	case errors.Is(err, errClosed):
		return codes.Unavailable
	}
	return codes.Internal
}
