package grpcgate_test

import (
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
)

// Served by net/http, which does not take www-authenticate for a trailer and logs that, a
// refusal has it in its headers.
func TestServeHTTP(t *testing.T) {
	gate := newGate(t, answers(nil, bearergate.ErrUnavailable), grpcgate.Config{})
	s := new(service)
	server := grpc.NewServer(gate.ServerOptions()...)
	grpc_testing.RegisterTestServiceServer(server, s)
	h := httptest.NewUnstartedServer(server)
	h.EnableHTTP2 = true
	var logged lines
	h.Config.ErrorLog = log.New(&logged, "", 0)
	h.StartTLS()
	defer h.Close()
	tls := h.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	conn, err := grpc.NewClient(strings.TrimPrefix(h.URL, "https://"), grpc.WithTransportCredentials(credentials.NewTLS(tls)))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	m, err := unaryTold(t.Context(), conn)
	requireStatus(t, err, codes.Unauthenticated, "MISSING_TOKEN")
	require.Equal(t, []string{`Bearer realm="api"`}, m.header.Get("www-authenticate"))
	require.Empty(t, m.trailer.Get("www-authenticate"))
	m, err = unaryTold(bearer(t, "x"), conn)
	requireStatus(t, err, codes.Unavailable, "TEMPORARILY_UNAVAILABLE")
	require.Len(t, m.header.Get("retry-after"), 1)
	require.Zero(t, s.count())
	require.Empty(t, logged.String())
}

// lines are what a server has logged.
type lines struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
