package orderstest

import (
	"net/http"
	"strings"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/gracefulgo/shutdown/examples/kubernetes/orders"
	"github.com/gracefulgo/shutdown/examples/kubernetes/orderspb"
)

// RequireAPI checks what a service of orders answers while it is running. The service is new.
func (p *Process) RequireAPI() {
	t := p.t
	t.Helper()
	url := "http://" + p.HTTP + "/orders"
	code, answer := Request(t, http.MethodPost, url, coffee)
	require.Equal(t, http.StatusCreated, code, answer)
	id := requireOrder(t, []byte(answer))
	code, answer = Request(t, http.MethodGet, url+"/"+id, "")
	require.Equal(t, http.StatusOK, code, answer)
	require.Equal(t, id, requireOrder(t, []byte(answer)))
	code, _ = Request(t, http.MethodGet, url+"/none", "")
	require.Equal(t, http.StatusNotFound, code)
	for body, want := range map[string]int{
		"coffee":            http.StatusBadRequest,
		`{"item":"coffee"}`: http.StatusBadRequest,
		strings.Repeat(" ", orders.MaxBody) + coffee: http.StatusRequestEntityTooLarge,
	} {
		code, answer = Request(t, http.MethodPost, url, body)
		require.Equal(t, want, code, answer)
	}

	conn := p.Dial()
	health, err := p.Health(conn)
	require.NoError(t, err)
	require.Equal(t, healthpb.HealthCheckResponse_SERVING, health)
	client := orderspb.NewOrdersClient(conn)
	o, err := client.Create(t.Context(), &orderspb.CreateRequest{Item: "tea", Quantity: 1})
	require.NoError(t, err)
	got, err := client.Get(t.Context(), &orderspb.GetRequest{Id: o.GetId()})
	require.NoError(t, err)
	require.Equal(t, o.String(), got.String())
	_, err = client.Get(t.Context(), &orderspb.GetRequest{Id: "none"})
	require.Equal(t, codes.NotFound, status.Code(err))
	_, err = client.Create(t.Context(), &orderspb.CreateRequest{})
	require.Equal(t, codes.InvalidArgument, status.Code(err))

	for path, want := range map[string]string{
		"/livez":               "alive",
		"/readyz":              "ready",
		"/metrics":             "orders_created_total{api=\"http\"} 1\n",
		"/debug/pprof/cmdline": "-admin",
	} {
		code, answer = p.AskAdmin(path)
		require.Equal(t, http.StatusOK, code)
		require.Contains(t, answer, want)
	}
}
