package consul_test

import (
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/discovery"
	"github.com/gracefulgo/shutdown/discovery/consul"
	"github.com/gracefulgo/shutdown/internal/leaks"
)

// The tests that need a Consul agent are in discovery/e2e.

var _ discovery.Registrar[*api.AgentServiceRegistration] = (*consul.Registrar)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(leaks.Patient(m, goleak.Find)) }

func TestAWrongConfigurationIsAnErrorThatNamesTheFieldAndTheValue(t *testing.T) {
	client, err := api.NewClient(&api.Config{Address: "127.0.0.1:1"})
	require.NoError(t, err)
	clients := []*api.Client{client}
	instance := &api.AgentServiceRegistration{ID: "orders-1", Name: "orders"}
	const path = "an agent cannot find it in the path of a request: a part between slashes is empty, . or .., or a character is not printable"
	with := func(c *api.AgentServiceCheck) *api.AgentServiceRegistration {
		return &api.AgentServiceRegistration{ID: "orders-1", Name: "orders", Checks: api.AgentServiceChecks{{HTTP: "http://127.0.0.1"}, c}}
	}
	for _, test := range []struct {
		r    *consul.Registrar
		i    *api.AgentServiceRegistration
		want string
	}{
		{&consul.Registrar{}, instance, "consul: Registrar.Clients is empty"},
		{&consul.Registrar{Clients: []*api.Client{client, nil}}, instance, "consul: Registrar.Clients[1] is nil"},
		{&consul.Registrar{Clients: clients, TTL: -time.Second}, instance, "consul: Registrar.TTL is -1s, and must not be negative"},
		{&consul.Registrar{Clients: clients, Maintenance: -time.Second}, instance, "consul: Registrar.Maintenance is -1s, and must not be negative"},
		{&consul.Registrar{Clients: clients}, nil, "consul: the instance is nil"},
		{&consul.Registrar{Clients: clients}, &api.AgentServiceRegistration{ID: "orders-1"}, `consul: AgentServiceRegistration.Name is empty (its ID is "orders-1")`},
		{&consul.Registrar{Clients: clients}, with(&api.AgentServiceCheck{TTL: "15"}), `consul: the TTL of check 2 of orders-1 is "15", and must be a positive duration`},
		{&consul.Registrar{Clients: clients}, with(&api.AgentServiceCheck{TTL: "-1s"}), `consul: the TTL of check 2 of orders-1 is "-1s", and must be a positive duration`},
		{&consul.Registrar{Clients: clients}, with(nil), `consul: AgentServiceRegistration.Checks[1] of orders-1 is nil`},
		{&consul.Registrar{Clients: clients}, &api.AgentServiceRegistration{Name: "orders", ID: "http://10.0.0.7:8080"}, `consul: AgentServiceRegistration.ID is "http://10.0.0.7:8080": ` + path},
		{&consul.Registrar{Clients: clients}, &api.AgentServiceRegistration{Name: "/orders"}, `consul: AgentServiceRegistration.ID is "/orders": ` + path},
		{&consul.Registrar{Clients: clients}, with(&api.AgentServiceCheck{CheckID: "../x", TTL: "15s"}), `consul: the CheckID of check 2 of orders-1 is "../x": ` + path},
	} {
		require.EqualError(t, test.r.Register(t.Context(), test.i), test.want)
		require.NoError(t, test.r.Deregister(t.Context(), test.i), "nothing is registered")
	}
}
