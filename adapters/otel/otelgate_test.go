package otelgate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/bearergate/bearergate"
	otelgate "github.com/bearergate/bearergate/adapters/otel"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/sightings"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/backchannel"
	"github.com/bearergate/bearergate/revocation/signals"
	"github.com/bearergate/bearergate/scope"
)

// rig is a Telemetry and all that it told.
type rig struct {
	*otelgate.Telemetry
	tracer   trace.Tracer // of the service
	exporter *tracetest.InMemoryExporter
	reader   *sdkmetric.ManualReader
}

func newRig(t testing.TB, opts ...sdktrace.TracerProviderOption) *rig {
	t.Helper()
	return with(t, func(*otelgate.Config) {}, opts...)
}

// with is a rig of a Telemetry with options.
func with(t testing.TB, change func(*otelgate.Config), opts ...sdktrace.TracerProviderOption) *rig {
	t.Helper()
	r := &rig{exporter: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader()}
	traces := sdktrace.NewTracerProvider(append(opts, sdktrace.WithSyncer(r.exporter))...)
	r.tracer = traces.Tracer("service")
	c := otelgate.Config{TracerProvider: traces, MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader))}
	change(&c)
	var err error
	r.Telemetry, err = otelgate.New(c)
	require.NoError(t, err)
	return r
}

// spans are those of a name, in the order of their end.
func (r *rig) spans(name string) []tracetest.SpanStub {
	return slices.DeleteFunc(r.exporter.GetSpans(), func(s tracetest.SpanStub) bool { return s.Name != name })
}

func (r *rig) span(t testing.TB, name string) tracetest.SpanStub {
	t.Helper()
	found := r.spans(name)
	require.Len(t, found, 1, name)
	return found[0]
}

// points are how often each combination of attributes of an instrument was
// measured; for a gauge, the last value.
func (r *rig) points(t testing.TB, name string) map[string]int {
	t.Helper()
	points := map[string]int{}
	var all metricdata.ResourceMetrics
	require.NoError(t, r.reader.Collect(t.Context(), &all))
	for _, s := range all.ScopeMetrics {
		require.Equal(t, otelgate.ScopeName, s.Scope.Name)
		for _, m := range s.Metrics {
			if m.Name != name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				require.Equal(t, map[bool]string{false: "s", true: "By"}[name == "bearergate.token.size"], m.Unit)
				for _, p := range data.DataPoints {
					points[text(p.Attributes.ToSlice())] += int(p.Count)
				}
			case metricdata.Sum[int64]:
				require.True(t, data.IsMonotonic)
				for _, p := range data.DataPoints {
					points[text(p.Attributes.ToSlice())] += int(p.Value)
				}
			case metricdata.Gauge[float64]:
				require.Equal(t, "s", m.Unit)
				for _, p := range data.DataPoints {
					points[text(p.Attributes.ToSlice())] = int(p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					points[text(p.Attributes.ToSlice())] = int(p.Value)
				}
			default:
				require.Fail(t, "another kind of data", "%T", data)
			}
		}
	}
	return points
}

// text is "key=value …", sorted.
func text(attributes []attribute.KeyValue) string {
	var out []string
	for _, a := range attributes {
		out = append(out, string(a.Key)+"="+a.Value.String())
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func linked(s tracetest.SpanStub) []trace.SpanID {
	var ids []trace.SpanID
	for _, l := range s.Links {
		ids = append(ids, l.SpanContext.SpanID())
	}
	return ids
}

// jwtVerifier is one of as that r watches.
func jwtVerifier(t testing.TB, r *rig, as *authtest.Server) *jwtverify.Verifier {
	t.Helper()
	v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience},
		HTTPClient: as.Client(), Hooks: r.VerifyHooks(), KeyHooks: r.KeyHooks()})
	require.NoError(t, err)
	return v
}

// serve serves h over HTTP, in memory; a request has a span of the name that
// its X-Name says.
func (r *rig) serve(t testing.TB, h http.Handler) *http.Client {
	conns := listener{make(chan net.Conn), make(chan struct{}), new(sync.Once)}
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ctx, span := r.tracer.Start(req.Context(), req.Header.Get("X-Name"), trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		h.ServeHTTP(w, req.WithContext(ctx))
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(conns) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		conns.conns <- theirs
		return ours, nil
	}}}
}

type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   *sync.Once
}

func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l listener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l listener) Addr() net.Addr { return &net.IPAddr{} }

func get(t testing.TB, c *http.Client, name, method, path, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://api.example.test"+path, nil)
	require.NoError(t, err)
	req.Header.Set("X-Name", name)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	synctest.Wait() // the span of the request has ended
	return resp.StatusCode
}

func TestOverHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		as.Fail(authtest.Fault{Path: "/jwks", Delay: time.Second})
		r := newRig(t)
		gate, err := middleware.New(jwtVerifier(t, r, as), middleware.Config{Hooks: r.GateHooks()})
		require.NoError(t, err)
		mux := http.NewServeMux()
		ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		mux.Handle("GET api.example.test/orders/{id}", gate.Require(scope.Template("order:read:{id}"))(ok))
		mux.Handle("/all", gate.Require(scope.All("orders:admin"))(ok))
		client := r.serve(t, mux)
		began := time.Now()
		token := as.Token(authtest.Claims{Subject: "alice-the-subject", ClientID: "the-client", Scopes: scope.Of("order:read:4711")})

		require.Equal(t, 200, get(t, client, "first", "GET", "/orders/4711", token))
		require.Equal(t, 200, get(t, client, "again", "GET", "/orders/4711", token))
		require.Equal(t, 403, get(t, client, "forbidden", "GET", "/orders/4712", token))
		require.Equal(t, 403, get(t, client, "odd method", "BREWCOFFEE", "/all", token))
		require.Equal(t, 401, get(t, client, "stranger", "GET", "/orders/4711", ""))
		forged := token[:len(token)-8] + "AAAAAAAA"
		require.Equal(t, 401, get(t, client, "forged", "GET", "/orders/4711", forged))

		// The cold verification belongs to its request, the fetch to nobody's.
		fetches := r.spans("bearergate.jwks.fetch")
		require.Len(t, fetches, 2, "the key of the forged token might have been a new one")
		first, fetch := r.span(t, "first"), fetches[0]
		verifications := r.spans("bearergate.verify")
		require.Len(t, verifications, 2, "none for a hit")
		cold := verifications[0]
		require.Equal(t, first.SpanContext.TraceID(), cold.SpanContext.TraceID())
		require.Equal(t, first.SpanContext.SpanID(), cold.Parent.SpanID())
		require.Equal(t, codes.Unset, cold.Status.Code)
		require.Equal(t, "bearergate.cached=false bearergate.issuer="+as.Issuer(), text(cold.Attributes))
		require.True(t, cold.StartTime.Equal(began))
		require.True(t, cold.EndTime.Equal(began.Add(time.Second)))
		require.Equal(t, otelgate.ScopeName, cold.InstrumentationScope.Name)

		require.False(t, fetch.Parent.IsValid())
		require.NotEqual(t, first.SpanContext.TraceID(), fetch.SpanContext.TraceID())
		require.Equal(t, []trace.SpanID{first.SpanContext.SpanID()}, linked(fetch))
		require.Equal(t, []trace.SpanID{fetch.SpanContext.SpanID()}, linked(first))
		require.Equal(t, trace.SpanKindClient, fetch.SpanKind)
		require.Equal(t, codes.Unset, fetch.Status.Code)
		require.True(t, fetch.StartTime.Equal(began))
		require.True(t, fetch.EndTime.Equal(began.Add(time.Second)))
		require.Equal(t, "bearergate.issuer="+as.Issuer()+" bearergate.jwks.outcome=ok bearergate.jwks.trigger=first", text(fetch.Attributes))

		// A refusal is the client's, not an error of ours.
		refused := verifications[1]
		require.Equal(t, r.span(t, "forged").SpanContext.SpanID(), refused.Parent.SpanID())
		require.Equal(t, codes.Unset, refused.Status.Code)
		words := "bearergate.detail=" + said(refused)["detail"] + " bearergate.found=" + said(refused)["found"]
		require.Equal(t, "bearergate.cached=false "+words+" bearergate.issuer="+as.Issuer()+" bearergate.unverified=true error.type=signature", text(refused.Attributes))
		const tooLittle = "bearergate.detail=the token does not have the scopes bearergate.reason=scope" // and which, the audit says
		for name, why := range map[string]string{"first": "", "again": "", "forbidden": tooLittle, "odd method": tooLittle,
			"stranger": "bearergate.detail=nothing was sent in Authorization bearergate.reason=no_token", "forged": words + " bearergate.reason=signature bearergate.unverified=true"} {
			s := r.span(t, name)
			require.Equal(t, why, text(s.Attributes), name)
			require.Equal(t, codes.Unset, s.Status.Code, name)
			if name != "first" && name != "forged" {
				require.Empty(t, s.Links, name)
			}
		}
		require.Equal(t, []trace.SpanID{fetches[1].SpanContext.SpanID()}, linked(r.span(t, "forged")))
		require.Len(t, r.exporter.GetSpans(), 6+2+2)

		issuer := "bearergate.issuer=" + as.Issuer()
		require.Equal(t, map[string]int{
			"bearergate.cached=false " + issuer:                           1,
			"bearergate.cached=true " + issuer:                            3,
			"bearergate.cached=false " + issuer + " error.type=signature": 1,
		}, r.points(t, "bearergate.verify.duration"))
		require.Equal(t, map[string]int{
			"bearergate.source=header http.request.method=GET http.route=/orders/{id}":                      2,
			"bearergate.source=header error.type=scope http.request.method=GET http.route=/orders/{id}":     1,
			"bearergate.source=header error.type=scope http.request.method=_OTHER http.route=/all":          1,
			"error.type=no_token http.request.method=GET http.route=/orders/{id}":                           1,
			"bearergate.source=header error.type=signature http.request.method=GET http.route=/orders/{id}": 1,
		}, r.points(t, "bearergate.decisions"))
		require.Equal(t, map[string]int{
			issuer + " bearergate.jwks.outcome=ok bearergate.jwks.trigger=first":                 1,
			issuer + " bearergate.jwks.outcome=not_modified bearergate.jwks.trigger=unknown_key": 1,
		}, r.points(t, "bearergate.jwks.fetch.duration"))
		require.Equal(t, map[string]int{issuer: 1}, r.points(t, "bearergate.jwks.keys"))
		require.Equal(t, map[string]int{issuer + " bearergate.jwks.state=fresh": 1}, r.points(t, "bearergate.jwks.state_changes"))
		require.Empty(t, r.points(t, "bearergate.panics"))

		r.requireDiscreet(t, append(strings.Split(token, "."), token, forged, "alice-the-subject", "the-client", "order:read", "orders:admin", "4711", "4712", "BREWCOFFEE", "/jwks", "well-known")...)
	})
}

// requireDiscreet: nothing that was told holds one of the words.
func (r *rig) requireDiscreet(t testing.TB, words ...string) {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, r.reader.Collect(t.Context(), &all))
	require.NotEmpty(t, all.ScopeMetrics)
	told := fmt.Sprintf("%+v", all.ScopeMetrics)
	for _, s := range r.exporter.GetSpans() {
		told += fmt.Sprintf("%q %q %+v %+v %+v\n", s.Name, text(s.Attributes), s.Events, s.Links, s.Status)
	}
	require.Contains(t, told, "bearergate.issuer", "not what was meant to be searched")
	for _, w := range words {
		require.NotEmpty(t, w)
		require.NotContains(t, told, w)
	}
	require.NotContains(t, told, "url.")
}

// However many requests wait for the keys, there is one fetch, and every one of
// them links to it.
func TestOneFetchSpanForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		as.Fail(authtest.Fault{Path: "/jwks", Delay: time.Second})
		r := newRig(t)
		v := jwtVerifier(t, r, as)
		const n = 100
		var all sync.WaitGroup
		for i := range n {
			token := as.Token(authtest.Claims{ID: fmt.Sprint("jti-", i)})
			all.Go(func() {
				ctx, span := r.tracer.Start(t.Context(), "request")
				defer span.End()
				if _, err := v.Verify(ctx, token); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		fetch := r.span(t, "bearergate.jwks.fetch")
		require.Equal(t, 1, as.Requests("/jwks"))
		requests := map[trace.SpanID]trace.TraceID{}
		for _, s := range r.spans("request") {
			require.Equal(t, []trace.SpanID{fetch.SpanContext.SpanID()}, linked(s))
			require.Equal(t, fetch.SpanContext.TraceID(), s.Links[0].SpanContext.TraceID())
			require.NotEqual(t, fetch.SpanContext.TraceID(), s.SpanContext.TraceID())
			requests[s.SpanContext.SpanID()] = s.SpanContext.TraceID()
		}
		require.Len(t, requests, n)
		require.Len(t, fetch.Links, 1)
		require.Contains(t, requests, fetch.Links[0].SpanContext.SpanID(), "who caused it")
		verifications := r.spans("bearergate.verify")
		require.Len(t, verifications, n)
		for _, s := range verifications {
			require.Equal(t, requests[s.Parent.SpanID()], s.SpanContext.TraceID())
		}
	})
}

// answers is an authorization server in memory.
type answers func(*http.Request) (int, string)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	select {
	case <-time.After(time.Second):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	code, body := a(r)
	if code == 0 {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}, nil
}

const active = `{"active":true,"iss":"https://as.example.test","aud":"https://api.example.test","sub":"the-subject","client_id":"the-client","jti":"the-id","scope":"orders:read"}`

func opaque(t testing.TB, r *rig, as answers, change ...func(*introspect.Config)) *introspect.Client {
	t.Helper()
	config := introspect.Config{Issuer: "https://as.example.test", Endpoint: "https://as.example.test/introspect",
		Auth: introspect.BasicAuth("orders-api", "our-s3cret"), Audiences: []string{"https://api.example.test"},
		HTTPClient: &http.Client{Transport: as}, Hooks: r.IntrospectHooks(), Signed: introspect.SignedConfig{KeyHooks: r.KeyHooks()}}
	for _, c := range change {
		c(&config)
	}
	client, err := introspect.New(config)
	require.NoError(t, err)
	return client
}

// verify makes a request, with a span of that name.
func (r *rig) verify(ctx context.Context, name string, v bearergate.Verifier, token string) error {
	ctx, span := r.tracer.Start(ctx, name)
	defer span.End()
	_, err := v.Verify(ctx, token)
	return err
}

func TestOneCallSpanForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tc := range map[string]struct {
			fail  int // so many calls
			calls []string
		}{
			"one call": {0, []string{"bearergate.introspect.attempt=1 bearergate.introspect.outcome=active"}},
			"a retry": {1, []string{"bearergate.introspect.attempt=1 bearergate.introspect.outcome=status",
				"bearergate.introspect.attempt=2 bearergate.introspect.outcome=active"}},
		} {
			r := newRig(t)
			failures := tc.fail
			client := opaque(t, r, func(*http.Request) (int, string) {
				if failures--; failures >= 0 {
					return 503, "{}"
				}
				return 200, active
			})
			began := time.Now()
			const n = 100
			var all sync.WaitGroup
			for range n {
				all.Go(func() {
					if err := r.verify(t.Context(), "request", client, "the-opaque-token"); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			require.NoError(t, r.verify(t.Context(), "hit", client, "the-opaque-token"))

			calls := r.spans("bearergate.introspect.call")
			require.Len(t, calls, len(tc.calls), name)
			var ids []trace.SpanID
			for i, s := range calls {
				ids = append(ids, s.SpanContext.SpanID())
				require.False(t, s.Parent.IsValid())
				require.Len(t, s.Links, 1)
				require.Equal(t, trace.SpanKindClient, s.SpanKind)
				for part := range strings.FieldsSeq(tc.calls[i]) {
					require.Contains(t, strings.Fields(text(s.Attributes)), part)
				}
				require.Equal(t, time.Second, s.EndTime.Sub(s.StartTime))
			}
			require.True(t, calls[0].StartTime.Equal(began), "not when the retry was over")
			requests := map[trace.SpanID]bool{}
			for _, s := range r.spans("request") {
				require.Equal(t, ids, linked(s), name)
				requests[s.SpanContext.SpanID()] = true
			}
			require.Len(t, requests, n)
			require.True(t, requests[calls[0].Links[0].SpanContext.SpanID()])
			looks := r.spans("bearergate.introspect")
			require.Len(t, looks, n, "none for the hit")
			for _, s := range looks {
				require.True(t, requests[s.Parent.SpanID()])
				require.Equal(t, "bearergate.introspect.result=miss bearergate.issuer=https://as.example.test", text(s.Attributes))
			}
			require.Empty(t, r.span(t, "hit").Links)
			issuer := " bearergate.issuer=https://as.example.test"
			require.Equal(t, map[string]int{"bearergate.introspect.result=miss" + issuer: n, "bearergate.introspect.result=hit" + issuer: 1},
				r.points(t, "bearergate.introspect.duration"))
			r.requireDiscreet(t, "the-opaque-token", "our-s3cret", "orders-api", "the-subject", "the-client", "the-id", "orders:read", "/introspect")
		}
	})
}

// Whose fault it was decides the status.
func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		as.Fail(authtest.Fault{Path: "/jwks", Delay: time.Second, Status: 503})
		r := newRig(t)
		v := jwtVerifier(t, r, as)
		token := as.Token(authtest.Claims{})
		impatient, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second/2, cancel)
		require.ErrorIs(t, r.verify(impatient, "impatient", v, token), bearergate.ErrUnavailable)
		require.ErrorIs(t, r.verify(t.Context(), "patient", v, token), bearergate.ErrUnavailable)
		require.ErrorIs(t, r.verify(t.Context(), "backoff", v, token), bearergate.ErrUnavailable)
		fetch := r.span(t, "bearergate.jwks.fetch")
		require.Equal(t, sdktrace.Status{Code: codes.Error, Description: "status"}, fetch.Status)
		require.Equal(t, "bearergate.issuer="+as.Issuer()+" bearergate.jwks.outcome=status bearergate.jwks.trigger=first error.type=status http.response.status_code=503", text(fetch.Attributes))
		require.Equal(t, []trace.SpanID{r.span(t, "impatient").SpanContext.SpanID()}, linked(fetch), "the context of a request that has gone still says which it was")
		require.Empty(t, r.span(t, "impatient").Links)
		require.Equal(t, []trace.SpanID{fetch.SpanContext.SpanID()}, linked(r.span(t, "patient")))
		require.Empty(t, r.span(t, "backoff").Links, "waited for nothing")
		verifications := r.spans("bearergate.verify")
		require.Len(t, verifications, 3)
		require.Equal(t, codes.Unset, verifications[0].Status.Code)
		require.Contains(t, text(verifications[0].Attributes), "error.type=canceled")
		require.Equal(t, sdktrace.Status{Code: codes.Error, Description: "keys_unavailable"}, verifications[1].Status)
		require.Contains(t, text(verifications[1].Attributes), "error.type=keys_unavailable")
		require.Equal(t, codes.Error, verifications[2].Status.Code)

		for code, want := range map[int]struct {
			reason, outcome string
			call, look      codes.Code
		}{
			200: {"inactive", "inactive", codes.Unset, codes.Unset},
			401: {"config", "unauthorized", codes.Error, codes.Error},
			500: {"introspection_unavailable", "status", codes.Error, codes.Error},
			0:   {"introspection_unavailable", "connect", codes.Error, codes.Error},
		} {
			r := newRig(t)
			client := opaque(t, r, func(*http.Request) (int, string) { return code, `{"active":false}` })
			require.Error(t, r.verify(t.Context(), "request", client, "token"))
			look, call := r.span(t, "bearergate.introspect"), r.spans("bearergate.introspect.call")[0]
			require.Equal(t, want.look, look.Status.Code, code)
			require.Contains(t, text(look.Attributes), "error.type="+want.reason)
			require.Equal(t, want.call, call.Status.Code, code)
			require.Contains(t, text(call.Attributes), "bearergate.introspect.outcome="+want.outcome)
			require.Equal(t, want.call == codes.Error, strings.Contains(text(call.Attributes), "error.type="+want.outcome))
			require.Equal(t, code != 0, strings.Contains(text(call.Attributes), fmt.Sprint("http.response.status_code=", code)))
			_ = r.verify(t.Context(), "again", client, "token")
			_ = r.verify(t.Context(), "no token", client, "no token")
			if code == 200 {
				require.Len(t, r.spans("bearergate.introspect"), 1, "neither for a refusal that is remembered nor for nonsense")
			}
		}
	})
}

// The rarer events.
func TestCounters(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	keys, look := r.KeyHooks(), r.IntrospectHooks()
	server := bearergate.Server{ClockKnown: true, Ahead: -2 * time.Second, Within: time.Second, CertificateExpires: time.Unix(2e9, 5e8)}
	for range 2 {
		r.VerifyHooks().Verified(ctx, jwtverify.VerifyEvent{Issuer: "i", Cached: true, RemovedKey: "secret"})
		r.VerifyHooks().Verified(ctx, jwtverify.VerifyEvent{Issuer: "i", Cached: true, Bytes: 1000, Lifetime: time.Hour})
		look.Looked(ctx, introspect.LookEvent{Issuer: "i", Result: introspect.ResultHit, Bytes: 30})
		keys.UsedEarly(ctx, jwks.EarlyEvent{Issuer: "i", URL: "secret", KeyID: "secret"})
		r.GateHooks().Decided(ctx, middleware.DecisionEvent{Method: "GET", Pattern: "GET /a", QueryToken: true})
		r.GateHooks().Decided(ctx, middleware.DecisionEvent{Method: "GET", Pattern: "GET /a", QueryToken: true, Midstream: true})
		keys.Fetched(ctx, jwks.FetchEvent{Issuer: "i", Server: server})
		look.Called(ctx, introspect.CallEvent{Issuer: "i", Server: server})
		r.exporter.Reset() // their spans
		keys.StateChanged(ctx, jwks.StateEvent{Issuer: "i", From: jwks.StateFresh, To: jwks.StateStale, Err: errors.New("secret")})
		keys.StaleServed(ctx, jwks.StaleEvent{Issuer: "i"})
		keys.MissSuppressed(ctx, jwks.MissEvent{Issuer: "i", KeyID: "secret", Algorithm: "secret"})
		keys.KeySkipped(ctx, jwks.KeyEvent{Issuer: "i", KeyID: "secret"})
		look.BreakerChanged(ctx, introspect.BreakerEvent{Issuer: "i", From: introspect.BreakerClosed, To: introspect.BreakerOpen})
		look.StoreFailed(ctx, introspect.StoreEvent{Issuer: "i", Operation: "get", Err: errors.New("secret")})
		r.VerifyHooks().Unmapped(ctx, bearergate.UnmappedEvent{Issuer: "i", Path: "secret"})
		look.Unmapped(ctx, bearergate.UnmappedEvent{Issuer: "i", Path: "secret"})
		r.VerifyHooks().Panicked(ctx, bearergate.PanicEvent{Where: "secret", Type: "secret"})
		keys.Panicked(ctx, bearergate.PanicEvent{Where: "secret", Type: "secret"})
		look.Panicked(ctx, bearergate.PanicEvent{Where: "secret", Type: "secret"})
		r.GateHooks().Panicked(ctx, bearergate.PanicEvent{Where: "secret", Type: "secret"})
		r.ProofHooks().Panicked(ctx, bearergate.PanicEvent{Where: "secret", Type: "secret"})
		look.Purged(ctx, introspect.PurgeEvent{Issuer: "i"})
		look.Purged(ctx, introspect.PurgeEvent{Issuer: "i", Err: errors.New("secret")})
		look.PurgesRead(ctx, introspect.PurgesReadEvent{Issuer: "i", Records: 1})
		look.PurgesRead(ctx, introspect.PurgesReadEvent{Issuer: "i", Err: errors.New("secret")})
		revoked := r.RevocationHooks()
		revoked.Refused(ctx, revocation.RefusedEvent{Issuer: "i", Source: "admin", By: "subject"})
		entry := revocation.Entry{Issuer: "secret", Subject: "secret", Source: "signals"}
		revoked.Changed(ctx, revocation.ChangeEvent{Entry: entry, By: "subject", Own: true})
		revoked.Changed(ctx, revocation.ChangeEvent{Entry: entry, By: "subject", Lifted: true})
		revoked.Synced(ctx, revocation.SyncEvent{Whole: true, Records: 5, Skipped: 3})
		revoked.Synced(ctx, revocation.SyncEvent{Err: errors.New("secret")})
		revoked.PutBack(ctx, revocation.PutBackEvent{Entries: 4})
		revoked.Refetched(ctx, revocation.RefetchEvent{Issuer: "i"})
		revoked.Refetched(ctx, revocation.RefetchEvent{Issuer: "i", Err: errors.New("secret")})
		revoked.Panicked(ctx, bearergate.PanicEvent{Where: "secret", Type: "secret"})
		down := &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, Cause: errors.New("secret")}
		seen := r.SightingHooks()
		seen.Suspected(ctx, sightings.Event{Issuer: "i", Token: bearergate.NewToken(bearergate.Claims{Subject: "secret"}), Networks: 4, Names: []string{"secret"}})
		seen.Forgot(ctx, sightings.ForgotEvent{Tokens: 7})
		seen.Panicked(ctx, bearergate.PanicEvent{Where: "secret", Type: "secret"})
		logouts, events := r.LogoutHooks(), r.SignalHooks()
		logouts.Received(ctx, backchannel.ReceivedEvent{Issuer: "i", Outcome: backchannel.Revoked, By: backchannel.BySession, Subject: "secret", Session: "secret", Status: 200})
		logouts.Received(ctx, backchannel.ReceivedEvent{Issuer: "i", Outcome: backchannel.Failed, By: backchannel.BySubject, Subject: "secret", Err: down, Status: 503})
		logouts.Panicked(ctx, bearergate.PanicEvent{Where: "secret", Type: "secret"})
		events.Received(ctx, signals.ReceivedEvent{Issuer: "i", Outcome: signals.Discarded, Type: signals.SessionRevoked, ID: "secret", Status: 202})
		events.Received(ctx, signals.ReceivedEvent{Issuer: "i", Outcome: signals.Failed, Err: errors.New("secret"), Status: 500})
		events.Discarded(ctx, signals.DiscardedEvent{Issuer: "i", Type: signals.SessionRevoked, Why: signals.WhySubject, Format: "email", Found: "secret", ID: "secret"})
		events.Stream(ctx, signals.StreamEvent{Issuer: "i", Status: "paused", Reason: "secret"})
		events.Panicked(ctx, bearergate.PanicEvent{Where: "secret", Type: "secret"})
	}
	for name, want := range map[string]map[string]int{
		"bearergate.issuer.clock_skew":             {"bearergate.endpoint=keys bearergate.issuer=i": -2, "bearergate.endpoint=introspection bearergate.issuer=i": -2},
		"bearergate.issuer.clock_skew_uncertainty": {"bearergate.endpoint=keys bearergate.issuer=i": 1, "bearergate.endpoint=introspection bearergate.issuer=i": 1},
		"bearergate.issuer.certificate_expiry":     {"bearergate.endpoint=keys bearergate.issuer=i": 2e9, "bearergate.endpoint=introspection bearergate.issuer=i": 2e9},
		"bearergate.token.size":                    {"bearergate.issuer=i bearergate.verifier=jwt": 2, "bearergate.issuer=i bearergate.verifier=introspection": 2},
		"bearergate.token.lifetime":                {"bearergate.issuer=i bearergate.verifier=jwt": 2},
		"bearergate.jwks.early_keys":               {"bearergate.issuer=i": 2},
		"bearergate.verify.removed_keys":           {"bearergate.issuer=i": 2},
		"bearergate.query_tokens":                  {"http.request.method=GET http.route=/a": 2},
		"bearergate.jwks.state_changes":            {"bearergate.issuer=i bearergate.jwks.state=stale": 2},
		"bearergate.jwks.stale_answers":            {"bearergate.issuer=i": 2},
		"bearergate.jwks.suppressed_misses":        {"bearergate.issuer=i": 2},
		"bearergate.jwks.skipped_keys":             {"bearergate.issuer=i": 2},
		"bearergate.introspect.breaker_changes":    {"bearergate.introspect.breaker=open bearergate.issuer=i": 2},
		"bearergate.introspect.store_failures":     {"bearergate.introspect.store_operation=get bearergate.issuer=i": 2},
		"bearergate.unmapped_paths":                {"bearergate.issuer=i": 4},
		"bearergate.sightings.suspected":           {"bearergate.issuer=i": 2},
		"bearergate.sightings.forgotten":           {"": 14},
		"bearergate.panics": {"bearergate.package=jwtverify": 2, "bearergate.package=jwks": 2,
			"bearergate.package=introspect": 2, "bearergate.package=middleware": 2, "bearergate.package=dpop": 2, "bearergate.package=revocation": 2, "bearergate.package=sightings": 2,
			"bearergate.package=backchannel": 2, "bearergate.package=signals": 2},
		"bearergate.introspect.purge_log_failures": {"bearergate.introspect.purge_operation=append bearergate.issuer=i": 2, "bearergate.introspect.purge_operation=read bearergate.issuer=i": 2},
		"bearergate.revocation.refusals":           {"bearergate.issuer=i bearergate.revocation.by=subject bearergate.revocation.source=admin": 2},
		"bearergate.revocation.changes": {"bearergate.revocation.by=subject bearergate.revocation.change=added bearergate.revocation.source=signals": 2,
			"bearergate.revocation.by=subject bearergate.revocation.change=lifted bearergate.revocation.source=signals": 2},
		"bearergate.revocation.logouts": {"bearergate.issuer=i bearergate.revocation.by=session bearergate.revocation.outcome=revoked": 2,
			"bearergate.issuer=i bearergate.revocation.by=subject bearergate.revocation.outcome=failed error.type=store_unavailable": 2},
		"bearergate.revocation.signals": {"bearergate.issuer=i bearergate.revocation.event=" + signals.SessionRevoked + " bearergate.revocation.outcome=discarded": 2,
			"bearergate.issuer=i bearergate.revocation.outcome=failed error.type=internal": 2},
		"bearergate.revocation.signals_discarded": {"bearergate.issuer=i bearergate.revocation.event=" + signals.SessionRevoked + " bearergate.revocation.why=subject": 2},
		"bearergate.revocation.stream_changes":    {"bearergate.issuer=i bearergate.revocation.stream=paused": 2},
		"bearergate.revocation.syncs":             {"": 2, "error.type=failed": 2},
		"bearergate.revocation.skipped_records":   {"": 6},
		"bearergate.revocation.put_back":          {"": 8},
		"bearergate.revocation.key_refetches":     {"bearergate.issuer=i": 2, "bearergate.issuer=i error.type=failed": 2},
	} {
		require.Equal(t, want, r.points(t, name), name)
	}
	require.Empty(t, r.exporter.GetSpans())
	r.requireDiscreet(t, "secret")
}

// The span of a logout and of a security event that are not taken says why, and not whose
// they are.
func TestFeedsTellTheirSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, as := newRig(t), authtest.New(t)
		list, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour})
		require.NoError(t, err)
		logout, err := backchannel.New(backchannel.Config{List: list, Issuer: as.Issuer(), ClientIDs: []string{authtest.DefaultClientID}, HTTPClient: as.Client(), Hooks: r.LogoutHooks()})
		require.NoError(t, err)
		receiver, err := signals.New(signals.Config{List: list, Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
			InsecureAnyTransmitter: true, Hooks: r.SignalHooks()})
		require.NoError(t, err)
		for _, tc := range []struct {
			name        string
			feed        http.Handler
			contentType string
			body        string
			why         string // attributes of the span
		}{
			{name: "taken", feed: logout, contentType: "application/x-www-form-urlencoded", body: "logout_token=" + as.LogoutToken(map[string]any{"sid": "the-session"})},
			{name: "a logout", feed: logout, contentType: "application/x-www-form-urlencoded", body: "logout_token=" + as.LogoutToken(map[string]any{"sid": "the-session", "aud": "billing"}),
				why: "audience"},
			{name: "an event", feed: receiver, contentType: "application/secevent+jwt", body: as.SecurityEvent(map[string]any{"aud": "billing"}), why: "audience"},
		} {
			ctx, span := r.tracer.Start(t.Context(), tc.name)
			req := httptest.NewRequestWithContext(ctx, "POST", "/", strings.NewReader(tc.body))
			req.Header.Set("Content-Type", tc.contentType)
			tc.feed.ServeHTTP(httptest.NewRecorder(), req)
			span.End()
			if tc.why == "" {
				require.Empty(t, r.span(t, tc.name).Attributes)
				continue
			}
			told := text(r.span(t, tc.name).Attributes)
			require.Contains(t, told, "bearergate.reason="+tc.why, tc.name)
			require.Contains(t, told, `bearergate.found="billing"`, tc.name)
			r.requireDiscreet(t, "the-session", authtest.DefaultSubject, tc.body)
		}
	})
}

func TestDecisions(t *testing.T) {
	r := newRig(t)
	decided := r.GateHooks().Decided
	for _, tc := range []struct {
		event middleware.DecisionEvent
		want  string
	}{
		{middleware.DecisionEvent{Method: "GET", Pattern: "GET /a/{b...}"}, "http.request.method=GET http.route=/a/{b...}"},
		{middleware.DecisionEvent{Method: "GET", Pattern: "example.com/"}, "http.request.method=GET http.route=/"},
		{middleware.DecisionEvent{Method: "GET"}, "http.request.method=GET"},
		{middleware.DecisionEvent{Method: "GET", Source: middleware.SourceExtract, ReportOnly: true, Err: bearergate.ErrInsufficientScope},
			"bearergate.report_only=true bearergate.source=extract error.type=scope http.request.method=GET"},
		{middleware.DecisionEvent{Method: "GET", Err: errors.New("of a foreign kind")}, "error.type=internal http.request.method=GET"},
		{middleware.DecisionEvent{Method: "GET", Err: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: "invented"}}, "error.type=policy http.request.method=GET"},
	} {
		before := r.points(t, "bearergate.decisions")[tc.want]
		decided(t.Context(), tc.event)
		require.Equal(t, before+1, r.points(t, "bearergate.decisions")[tc.want], tc.want)
	}
	require.Len(t, r.points(t, "bearergate.decisions"), 6)

	// A request that its token ended is no further decision.
	before := r.points(t, "bearergate.decisions")
	decided(t.Context(), middleware.DecisionEvent{Method: "GET", Pattern: "GET /a/{b...}", Midstream: true, Err: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked}})
	require.Equal(t, before, r.points(t, "bearergate.decisions"))
	require.Equal(t, map[string]int{"error.type=revoked http.request.method=GET http.route=/a/{b...}": 1}, r.points(t, "bearergate.requests_ended"))
}

// Without one of the providers there is the other.
func TestOneProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		r, reader := newRig(t), sdkmetric.NewManualReader()
		var err error
		r.Telemetry, err = otelgate.New(otelgate.Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
		require.NoError(t, err)
		r.reader = reader
		require.Nil(t, r.KeyHooks().Waited)
		require.Nil(t, r.IntrospectHooks().Waited)
		require.NoError(t, r.verify(t.Context(), "metrics", jwtVerifier(t, r, as), as.Token(authtest.Claims{})))
		require.Empty(t, r.span(t, "metrics").Links)
		require.Len(t, r.exporter.GetSpans(), 1)
		require.Len(t, r.points(t, "bearergate.verify.duration"), 1)

		r = newRig(t)
		r.Telemetry, err = otelgate.New(otelgate.Config{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(r.exporter))})
		require.NoError(t, err)
		require.NoError(t, r.verify(t.Context(), "traces", jwtVerifier(t, r, as), as.Token(authtest.Claims{})))
		require.Len(t, r.exporter.GetSpans(), 3)
	})
}

// What is not recorded is linked to by nobody, and a span that is not the
// fetch's is not taken for it.
func TestUnsampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, provider := range map[string]trace.TracerProvider{
			"never": sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())),
			"noop":  tracenoop.NewTracerProvider(),
		} {
			as := authtest.New(t, authtest.WithIssuer("https://"+name+".example.test"))
			as.Fail(authtest.Fault{Path: "/jwks", Delay: time.Second})
			r := newRig(t)
			var err error
			r.Telemetry, err = otelgate.New(otelgate.Config{TracerProvider: provider})
			require.NoError(t, err)
			v := jwtVerifier(t, r, as)
			remote := trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
				TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled, Remote: true}))
			var all sync.WaitGroup
			all.Go(func() { _, err = v.Verify(remote, as.Token(authtest.Claims{})) })
			synctest.Wait()
			all.Go(func() { _ = r.verify(t.Context(), "request", v, as.Token(authtest.Claims{})) })
			all.Wait()
			require.NoError(t, err)
			require.Equal(t, 1, as.Requests("/jwks"))
			require.Empty(t, r.span(t, "request").Links, name)
		}
	})
}

func TestMistakes(t *testing.T) {
	for name, tc := range map[string]struct {
		config otelgate.Config
		says   []string
	}{
		"nothing":             {otelgate.Config{}, []string{"TracerProvider", "MeterProvider"}},
		"typed nils":          {otelgate.Config{TracerProvider: (*sdktrace.TracerProvider)(nil), MeterProvider: (*sdkmetric.MeterProvider)(nil)}, []string{"nil *trace.TracerProvider", "nil *metric.MeterProvider"}},
		"negative":            {otelgate.Config{MeterProvider: metricnoop.NewMeterProvider(), MaxClients: -1}, []string{"MaxClients"}},
		"negative tenants":    {otelgate.Config{MeterProvider: metricnoop.NewMeterProvider(), MaxTenants: -1}, []string{"MaxTenants"}},
		"clients, no metrics": {otelgate.Config{TracerProvider: tracenoop.NewTracerProvider(), MaxClients: 1}, []string{"set MeterProvider too"}},
		"tenants, no metrics": {otelgate.Config{TracerProvider: tracenoop.NewTracerProvider(), MaxTenants: 1}, []string{"set MeterProvider too"}},
		"client, no spans":    {otelgate.Config{MeterProvider: metricnoop.NewMeterProvider(), SpanClient: true}, []string{"set TracerProvider too"}},
		"tenant, no spans":    {otelgate.Config{MeterProvider: metricnoop.NewMeterProvider(), SpanTenant: true}, []string{"set TracerProvider too"}},
		"principal, no spans": {otelgate.Config{MeterProvider: metricnoop.NewMeterProvider(), SpanPrincipal: true}, []string{"set TracerProvider too"}},
		"a meter of clients":  {otelgate.Config{MeterProvider: brokenProvider{}, MaxClients: 1, MaxTenants: 1}, []string{"no bearergate.client_decisions", "no bearergate.tenant_decisions"}},
		"a meter":             {otelgate.Config{MeterProvider: brokenProvider{}}, []string{"no bearergate.decisions", "no bearergate.jwks.keys"}},
	} {
		telemetry, err := otelgate.New(tc.config)
		require.Nil(t, telemetry, name)
		require.ErrorIs(t, err, bearergate.ErrMisconfigured, name)
		require.Equal(t, bearergate.ReasonConfig, bearergate.ReasonOf(err), name)
		for _, part := range tc.says {
			require.ErrorContains(t, err, part, name)
		}
	}
}

type brokenProvider struct{ metricnoop.MeterProvider }

func (brokenProvider) Meter(string, ...metric.MeterOption) metric.Meter { return brokenMeter{} }

type brokenMeter struct{ metricnoop.Meter }

func (brokenMeter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return nil, errors.New("no " + name)
}

func (brokenMeter) Int64Gauge(name string, _ ...metric.Int64GaugeOption) (metric.Int64Gauge, error) {
	return nil, errors.New("no " + name)
}

// A token seen before pays nothing for its telemetry.
func TestAllocations(t *testing.T) {
	telemetry, err := otelgate.New(otelgate.Config{TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider()})
	require.NoError(t, err)
	named, err := otelgate.New(otelgate.Config{TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(),
		MaxClients: 1, MaxTenants: 1, SpanClient: true, SpanTenant: true, SpanPrincipal: true})
	require.NoError(t, err)
	client := decision(bearergate.NewToken(bearergate.Claims{Issuer: "i", ClientID: "shop", Tenant: "acme"}), nil)
	late := decision(bearergate.NewToken(bearergate.Claims{Issuer: "i", ClientID: "late", Tenant: "late"}), nil)
	ctx := trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}}))
	verify, look, gate, proofs := telemetry.VerifyHooks(), telemetry.IntrospectHooks(), telemetry.GateHooks(), telemetry.ProofHooks()
	for name, f := range map[string]func(){
		"verify": func() {
			verify.Verified(ctx, jwtverify.VerifyEvent{Issuer: "https://as.example.test", Cached: true, Duration: 1})
		},
		"look": func() {
			look.Looked(ctx, introspect.LookEvent{Issuer: "https://as.example.test", Result: introspect.ResultHit, Duration: 1})
		},
		"gate": func() {
			gate.Decided(ctx, middleware.DecisionEvent{Method: "GET", Pattern: "GET /orders/{id}", Source: middleware.SourceHeader, Duration: 1})
		},
		"gate that names clients": func() {
			named.GateHooks().Decided(ctx, client)
			named.GateHooks().Decided(ctx, late)
		},
		"proof": func() {
			proofs.Judged(ctx, dpop.ProofEvent{Algorithm: "ES256", Nonce: dpop.NonceAccepted, Store: dpop.StoreFresh, StoreDuration: 1, Duration: 1})
		},
	} {
		require.Zero(t, testing.AllocsPerRun(100, f), name)
	}

	as := authtest.New(t)
	token := as.Token(authtest.Claims{})
	serve := func(hooks jwtverify.Hooks, gateHooks middleware.Hooks) float64 {
		v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Hooks: hooks})
		require.NoError(t, err)
		gate, err := middleware.New(v, middleware.Config{Hooks: gateHooks})
		require.NoError(t, err)
		h := gate.Require(scope.Requirement{})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		req := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		return testing.AllocsPerRun(100, func() { h.ServeHTTP(w, req) })
	}
	require.Equal(t, serve(jwtverify.Hooks{}, middleware.Hooks{}), serve(verify, gate))
}

// Nothing grows without end, whatever comes.
func TestBounds(t *testing.T) {
	r := newRig(t)
	keys := r.KeyHooks()
	for i := range uint64(5000) {
		keys.Fetched(t.Context(), jwks.FetchEvent{ID: i + 1, Issuer: fmt.Sprint("issuer-", i), Outcome: jwks.OutcomeOK})
	}
	require.Equal(t, []int{otelgate.MaxShared, otelgate.MaxSeries, otelgate.MaxSeries}, otelgate.Sizes(r.Telemetry))
	ctx, span := r.tracer.Start(t.Context(), "request")
	keys.Waited(ctx, jwks.WaitEvent{FetchID: 5000 - otelgate.MaxShared})
	keys.Waited(ctx, jwks.WaitEvent{FetchID: 7_000_000})
	keys.Waited(ctx, jwks.WaitEvent{FetchID: 5000 - otelgate.MaxShared + 1})
	keys.Waited(ctx, jwks.WaitEvent{FetchID: 5000})
	span.End()
	keys.Waited(ctx, jwks.WaitEvent{FetchID: 5000})
	fetches := r.spans("bearergate.jwks.fetch")
	require.Equal(t, []trace.SpanID{fetches[5000-otelgate.MaxShared].SpanContext.SpanID(), fetches[4999].SpanContext.SpanID()}, linked(r.span(t, "request")))
}

// Those who use this package link the API of OpenTelemetry, and no SDK.
func TestNoSDK(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "go.opentelemetry.io/otel/metric\n")
	require.NotContains(t, string(out), "go.opentelemetry.io/otel/sdk")
	require.NotContains(t, string(out), "go.opentelemetry.io/otel/exporters")
	require.NotContains(t, string(out), "testing\n")
}
