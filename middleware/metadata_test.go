package middleware_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// challengeOf returns the resource_metadata of a bare challenge to r.
func challengeOf(t *testing.T, gate *middleware.Gate, r *http.Request) string {
	t.Helper()
	w := httptest.NewRecorder()
	gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, r)
	return parseChallenge(t, w.Header().Get("WWW-Authenticate"))["resource_metadata"]
}

// req: R9728-01 R9728-03 R9728-05 R9728-09 R9728-10
func TestWhereTheMetadataIs(t *testing.T) {
	const wk = "/.well-known/oauth-protected-resource"
	for resource, want := range map[string]string{
		"https://h":                "https://h" + wk,
		"https://h/":               "https://h" + wk,
		"https://h:8443/":          "https://h:8443" + wk,
		"https://h/a":              "https://h" + wk + "/a",
		"https://h/a/b":            "https://h" + wk + "/a/b",
		"https://h/a/b/":           "https://h" + wk + "/a/b/",
		"https://h/~a":             "https://h" + wk + "/~a",
		"https://h~h/a":            "https://h~h" + wk + "/a",
		"https://h/a?x=1":          "https://h" + wk + "/a?x=1",
		"https://h?x=/1":           "https://h" + wk + "?x=/1",
		"https://h/?x=1":           "https://h" + wk + "?x=1",
		"https://H.example/A%2Fb":  "https://H.example" + wk + "/A%2Fb", // not normalized
		"https://h/a%20b":          "https://h" + wk + "/a%20b",
		"https://[2001:db8::1]/a":  "https://[2001:db8::1]" + wk + "/a",
		"http://localhost:8080/a":  "http://localhost:8080" + wk + "/a",
		"http://127.0.0.1/":        "http://127.0.0.1" + wk,
		"http://[::1]:1/x":         "http://[::1]:1" + wk + "/x",
		"https://h/a;b,c=d&e'f()!": "https://h" + wk + "/a;b,c=d&e'f()!",
	} {
		gate := newGate(t, accepts(reader), middleware.Config{Resource: resource})
		require.Equal(t, want, challengeOf(t, gate, httptest.NewRequest("GET", "/", nil)), resource)

		// The document is there, on a Router and on a plain mux, and says so.
		pattern, h, err := gate.Metadata(middleware.Metadata{})
		require.NoError(t, err)
		mux := http.NewServeMux()
		mux.Handle(pattern, h)
		rt := gate.NewRouter()
		rt.Metadata(middleware.Metadata{})
		for _, h := range []http.Handler{mux, built(t, rt)} {
			w := ask(h, "GET", want, "")
			require.Equal(t, 200, w.Code, "%s: %s", resource, pattern)
			var document map[string]any
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &document))
			require.Equal(t, resource, document["resource"])
			// Another query, and what is below or above, is another resource.
			for _, other := range []string{want + "&y", want + "?z=1", want + "/x", strings.Replace(want, wk, wk+"/0", 1)} {
				require.NotEqual(t, 200, ask(h, "GET", other, "").Code, other)
			}
		}
	}
	for _, resource := range []string{
		"http://h/", "http://10.0.0.1/", "http://localhost.example/", "http://127.0.0.1.example/", "ftp://h/", "ftp://localhost/", "h/a", "//h/a", "/a", "https:", "https://", "https:///a", "https://:443/",
		"https://h/#", "https://h/a#b", "https://h#", "https://u@h/", "https://u:p@h/", "https://h/a b", "https://h/ä", "https://h/\"", "https://h/\\", "https://h/\r\n", "https://h/a//b", "https://h//",
		"https://h/../a", "https://h/a/.", "https://h/a/%2e%2e/b", "https://h/{id}", "https://{tenant}.h/", "https://h/?x={y}", "https://*.h/", "https://h/*", "https://h/%zz", " https://h/", "mailto:a@b", "https:h",
	} {
		gate, err := middleware.New(accepts(reader), middleware.Config{Resource: resource})
		require.Nil(t, gate, resource)
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, "Config.Resource")
	}
	// Without it, nothing is said.
	require.Empty(t, challengeOf(t, newGate(t, accepts(reader), middleware.Config{}), httptest.NewRequest("GET", "/", nil)))
}

// req: R9728-11
func TestTheHostOfARequestShapesNothing(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{Resource: "https://api.example.com/v1"})
	rt := gate.NewRouter()
	rt.Metadata(middleware.Metadata{Documentation: "https://docs.example.com/"})
	rt.Handle("/v1/", scope.All("write"), forbidden(t))
	h := built(t, rt)
	for _, path := range []string{"/v1/x", "/.well-known/oauth-protected-resource/v1"} {
		for _, authorization := range []string{"", "Bearer " + good, "Bearer bad", "Bearer"} {
			var first *httptest.ResponseRecorder
			for _, head := range []string{
				"GET " + path + " HTTP/1.1\r\nHost: api.example.com\r\n",
				"GET " + path + " HTTP/1.1\r\nHost: evil.example\r\n",
				"GET http://evil.example" + path + " HTTP/1.1\r\nHost: evil.example\r\n",
				"GET " + path + " HTTP/1.1\r\nHost: evil.example:1\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: http\r\nForwarded: host=evil.example;proto=http\r\nX-Original-Host: evil.example\r\n",
			} {
				r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head + "\r\n")))
				require.NoError(t, err)
				if authorization != "" {
					r.Header.Set("Authorization", authorization)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				require.NotContains(t, w.Body.String(), "evil")
				if first == nil {
					first = w
				}
				require.Equal(t, first.Code, w.Code)
				require.Equal(t, first.Header(), w.Header())
				require.Equal(t, first.Body.String(), w.Body.String())
			}
		}
	}
}

// req: R9728-04 R9728-12
func TestMetadataDocument(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{Resource: "https://api.example.com/v1"})
	rt := gate.NewRouter()
	rt.Handle("GET /v1/orders", scope.All("orders:read"), forbidden(t))
	rt.Handle("POST /v1/orders", scope.AnyOf(scope.All("orders:write", "orders:read"), scope.All("admin")), forbidden(t))
	rt.Handle("GET /v1/docs/{id}", scope.AnyOf(scope.All("docs"), scope.Template("doc:{id}")), forbidden(t))
	rt.Optional("GET /v1/news", scope.All("news"), forbidden(t))
	rt.Authenticated("GET /v1/me", forbidden(t))
	rt.Public("GET /health", forbidden(t))
	rt.Metadata(middleware.Metadata{AuthorizationServers: []string{"https://as.example.com"}, Name: "Orders <&>"})
	h := built(t, rt)
	const path = "/.well-known/oauth-protected-resource/v1"
	for _, method := range []string{"GET", "HEAD"} {
		w := ask(h, method, path, "")
		require.Equal(t, 200, w.Code)
		require.Equal(t, http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"max-age=3600"}, "Content-Length": {"297"}}, w.Header())
		body := `{
  "authorization_servers": [
    "https://as.example.com"
  ],
  "bearer_methods_supported": [
    "header"
  ],
  "resource": "https://api.example.com/v1",
  "resource_name": "Orders <&>",
  "scopes_supported": [
    "admin",
    "docs",
    "news",
    "orders:read",
    "orders:write"
  ]
}
`
		if method == "HEAD" {
			body = ""
		}
		require.Equal(t, body, w.Body.String())
	}
	require.Equal(t, time.Hour, middleware.DefaultMetadataMaxAge)
	// It needs no token, and a token, good or bad, makes no difference.
	require.Equal(t, 200, ask(h, "GET", path, "read").Code)
	require.Equal(t, 405, ask(h, "POST", path, "").Code)

	// The handler alone says so as well.
	pattern, alone, err := gate.Metadata(middleware.Metadata{Scopes: []string{"a", "b"}, MaxAge: 90 * time.Second})
	require.NoError(t, err)
	require.Equal(t, "GET "+path, pattern)
	w := ask(alone, "DELETE", path, "")
	require.Equal(t, 405, w.Code)
	require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
	require.Empty(t, w.Header().Get("Cache-Control"))
	require.Equal(t, "max-age=90", ask(alone, "GET", path, "").Header().Get("Cache-Control"))
	for age, want := range map[time.Duration]string{time.Second: "max-age=1", 24 * time.Hour: "max-age=86400"} {
		_, h, err := gate.Metadata(middleware.Metadata{MaxAge: age})
		require.NoError(t, err)
		require.Equal(t, want, ask(h, "GET", path, "").Header().Get("Cache-Control"))
	}

	document := func(c middleware.Config, m middleware.Metadata) map[string]any {
		t.Helper()
		c.Resource = "https://h/"
		_, h, err := newGate(t, accepts(reader), c).Metadata(m)
		require.NoError(t, err)
		var document map[string]any
		require.NoError(t, json.Unmarshal(ask(h, "GET", "/", "").Body.Bytes(), &document))
		return document
	}
	minimal := map[string]any{"resource": "https://h/", "bearer_methods_supported": []any{"header"}}
	require.Equal(t, minimal, document(middleware.Config{}, middleware.Metadata{}))
	require.Equal(t, minimal, document(middleware.Config{}, middleware.Metadata{Scopes: []string{}, AuthorizationServers: []string{}, SigningAlgorithms: []string{}}))
	require.Equal(t, minimal, document(middleware.Config{}, middleware.Metadata{Scopes: []string{"a"}, HideScopes: true}))
	require.Equal(t, map[string]any{"resource": "https://h/"}, document(middleware.Config{Extract: func(*http.Request) (bearergate.Credentials, error) { return sent(""), nil }}, middleware.Metadata{}))
	// req: R9728-02 R8705-12
	require.Equal(t, map[string]any{
		"resource": "https://h/", "bearer_methods_supported": []any{"header"}, "authorization_servers": []any{"https://as/1", "http://localhost:1"},
		"scopes_supported": []any{"b", "a"}, "jwks_uri": "https://h/jwks?x=<y>&z", "resource_signing_alg_values_supported": []any{"ES256"}, "resource_name": "Orders <&>",
		"resource_documentation": "https://h/docs", "resource_policy_uri": "http://h/policy", "resource_tos_uri": "https://h/tos",
		"tls_client_certificate_bound_access_tokens": true, "resource_name#de": "Bestellungen", "new_member": false,
	}, document(middleware.Config{Bindings: bindings(certificate(proven))}, middleware.Metadata{
		AuthorizationServers: []string{"https://as/1", "http://localhost:1"}, Scopes: []string{"b", "a"}, JWKSURI: "https://h/jwks?x=<y>&z", SigningAlgorithms: []string{"ES256"},
		Name: "Orders <&>", Documentation: "https://h/docs", Policy: "http://h/policy", TermsOfService: "https://h/tos", CertificateBound: true,
		Extra: map[string]any{"resource_name#de": "Bestellungen", "new_member": false},
	}))

	// A Router that is told which, or none, is obeyed.
	for _, tc := range []struct {
		m    middleware.Metadata
		want any
	}{{middleware.Metadata{Scopes: []string{"x"}}, []any{"x"}}, {middleware.Metadata{HideScopes: true}, nil}, {middleware.Metadata{Scopes: []string{}}, nil}} {
		rt := gate.NewRouter()
		rt.Metadata(tc.m)
		rt.Handle("/", scope.All("secret"), forbidden(t))
		var document map[string]any
		require.NoError(t, json.Unmarshal(ask(built(t, rt), "GET", path, "").Body.Bytes(), &document))
		require.Equal(t, tc.want, document["scopes_supported"])
	}
}

// What the gate does about bound tokens stands in its document, whoever says it.
// req: R9449-45 R8705-12
func TestMetadataOfBindings(t *testing.T) {
	const certificates, algorithms, required = "tls_client_certificate_bound_access_tokens", "dpop_signing_alg_values_supported", "dpop_bound_access_tokens_required"
	taciturn := dpop(proven) // a Binding whose challenge names no algorithms
	taciturn.challenge = nil
	single := dpop(proven)
	single.challenge = map[string]string{"algs": "ES256"}
	moody := certificate(proven)
	es256 := []any{"ES256", "EdDSA"}
	for _, tc := range []struct {
		name   string
		config middleware.Config
		m      middleware.Metadata
		want   map[string]any
		says   []string // the mistakes, all of them
	}{
		{name: "no Binding"},
		{name: "a certificate", config: middleware.Config{Bindings: bindings(certificate(proven))}, want: map[string]any{certificates: true}},
		{name: "a certificate, said", config: middleware.Config{Bindings: bindings(certificate(proven))}, m: middleware.Metadata{CertificateBound: true}, want: map[string]any{certificates: true}},
		{name: "a certificate is required", config: middleware.Config{Bindings: bindings(certificate(proven)), RequireBinding: true}, want: map[string]any{certificates: true}},
		{name: "DPoP", config: middleware.Config{Bindings: bindings(dpop(proven))}, want: map[string]any{algorithms: es256}},
		{name: "DPoP is required", config: middleware.Config{Bindings: bindings(dpop(proven)), RequireBinding: true}, want: map[string]any{algorithms: es256, required: true}},
		{name: "DPoP is required, said", config: middleware.Config{Bindings: bindings(dpop(proven)), RequireBinding: true}, m: middleware.Metadata{DPoPRequired: true}, want: map[string]any{algorithms: es256, required: true}},
		{name: "both", config: middleware.Config{Bindings: bindings(dpop(proven), certificate(proven))}, want: map[string]any{algorithms: es256, certificates: true}},
		{name: "one of both is required", config: middleware.Config{Bindings: bindings(dpop(proven), certificate(proven)), RequireBinding: true}, want: map[string]any{algorithms: es256, certificates: true}},
		{name: "one of both is required, in the other order", config: middleware.Config{Bindings: bindings(certificate(proven), dpop(proven)), RequireBinding: true}, want: map[string]any{algorithms: es256, certificates: true}},
		{name: "a Binding for another member", config: middleware.Config{Bindings: bindings(&binding{scheme: "Bearer", members: []string{"kid"}, challenge: map[string]string{"algs": "ES256"}})}},
		{name: "algorithms that the Binding does not say", config: middleware.Config{Bindings: bindings(taciturn)}, m: middleware.Metadata{DPoPAlgorithms: []string{"PS256"}}, want: map[string]any{algorithms: []any{"PS256"}}},
		{name: "algorithms that nobody says", config: middleware.Config{Bindings: bindings(taciturn)}},

		{name: "everything of a gate without Bindings", m: middleware.Metadata{CertificateBound: true, DPoPAlgorithms: []string{"ES256"}, DPoPRequired: true}, says: []string{
			"Metadata.CertificateBound: no Binding confirms x5t#S256", "Metadata.DPoPAlgorithms: no Binding has the DPoP scheme", "Metadata.DPoPRequired: the gate takes other tokens too: set Config.RequireBinding"}},
		{name: "DPoP is not required", config: middleware.Config{Bindings: bindings(dpop(proven))}, m: middleware.Metadata{DPoPRequired: true}, says: []string{"Metadata.DPoPRequired"}},
		{name: "a certificate will do", config: middleware.Config{Bindings: bindings(dpop(proven), certificate(proven)), RequireBinding: true}, m: middleware.Metadata{DPoPRequired: true}, says: []string{"Metadata.DPoPRequired"}},
		{name: "certificates of a gate for DPoP", config: middleware.Config{Bindings: bindings(dpop(proven))}, m: middleware.Metadata{CertificateBound: true}, says: []string{"Metadata.CertificateBound"}},
		{name: "algorithms of a gate for certificates", config: middleware.Config{Bindings: bindings(certificate(proven))}, m: middleware.Metadata{DPoPAlgorithms: []string{"ES256"}}, says: []string{"no Binding has the DPoP scheme"}},
		{name: "algorithms beside those of the Binding", config: middleware.Config{Bindings: bindings(dpop(proven))}, m: middleware.Metadata{DPoPAlgorithms: []string{"ES256"}}, says: []string{`the Binding itself says "ES256 EdDSA": leave it out`}},
		{name: "algorithms beside the one of the Binding", config: middleware.Config{Bindings: bindings(single)}, m: middleware.Metadata{DPoPAlgorithms: []string{"ES256"}}, says: []string{`the Binding itself says "ES256": leave it out`}},
		{name: "none", config: middleware.Config{Bindings: bindings(taciturn)}, m: middleware.Metadata{DPoPAlgorithms: []string{"ES256", "None"}}, says: []string{"proves anything"}},
		{name: "a shared secret", config: middleware.Config{Bindings: bindings(taciturn)}, m: middleware.Metadata{DPoPAlgorithms: []string{"HS256"}}, says: []string{"proves anything"}},
		{name: "an empty name", config: middleware.Config{Bindings: bindings(taciturn)}, m: middleware.Metadata{DPoPAlgorithms: []string{""}}, says: []string{"proves anything"}},
		{name: "in Extra", m: middleware.Metadata{Extra: map[string]any{certificates: true, algorithms: []string{}, required: false}}, says: []string{
			certificates + `" has a place of its own: take it out, and use Config.Bindings`, algorithms + `" has a place of its own: take it out, and use Metadata.DPoPAlgorithms`, required + `" has a place of its own: take it out, and use Config.RequireBinding`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.config.Resource = "https://h/"
			gate := newGate(t, accepts(reader), tc.config)
			_, h, err := gate.Metadata(tc.m)
			if tc.says != nil {
				requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
				for _, says := range tc.says {
					require.ErrorContains(t, err, says)
				}
				require.Len(t, strings.Split(bearergate.AsError(err).Cause.Error(), "\n"), len(tc.says), "these and no others")
				return
			}
			require.NoError(t, err)
			got := map[string]any{}
			require.NoError(t, json.Unmarshal(ask(h, "GET", "/", "").Body.Bytes(), &got))
			for name, value := range map[string]any{"resource": "https://h/", "bearer_methods_supported": []any{"header"}} {
				require.Equal(t, value, got[name])
				delete(got, name)
			}
			if tc.want == nil {
				tc.want = map[string]any{}
			}
			require.Equal(t, tc.want, got)
		})
	}

	// A Binding that breaks later has a document that nobody sees.
	gate := newGate(t, accepts(reader), middleware.Config{Resource: "https://h/", Bindings: bindings(fickle{moody, &moody.asked})})
	moody.asked = 1
	_, _, err := gate.Metadata(middleware.Metadata{})
	requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	require.ErrorContains(t, err, "Config.Bindings: ")
}

// fickle is a Binding that panics as soon as it has been asked.
type fickle struct {
	bearergate.Binding

	asked *int
}

func (f fickle) Members() []string {
	if *f.asked > 0 {
		panic("boom")
	}
	return f.Binding.Members()
}

func TestMetadataMistakes(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{Resource: "https://h/"})
	mistakes := map[string]middleware.Metadata{
		"issuer over http":       {AuthorizationServers: []string{"https://as", "http://as.example"}},
		"issuer with a query":    {AuthorizationServers: []string{"https://as?x"}},
		"issuer, empty query":    {AuthorizationServers: []string{"https://as?"}},
		"issuer with a fragment": {AuthorizationServers: []string{"https://as#"}},
		"empty issuer":           {AuthorizationServers: []string{""}},
		"jwks over http":         {JWKSURI: "http://h.example/jwks"}, // req: R9728-02
		"alg none":               {SigningAlgorithms: []string{"ES256", "none"}},
		"alg None":               {SigningAlgorithms: []string{"None"}},
		"empty alg":              {SigningAlgorithms: []string{""}},
		"no URL":                 {Documentation: "docs.html"},
		"script":                 {Policy: "javascript:alert(1)"},
		"no host":                {TermsOfService: "https:///x"},
		"page over ftp":          {Policy: "ftp://h/x"},
		"a URL nobody can read":  {Documentation: "https://h/%zz"},
		"scope with a space":     {Scopes: []string{"a b"}},
		"empty scope":            {Scopes: []string{""}},
		"negative age":           {MaxAge: -time.Second},
		"age without a unit":     {MaxAge: 3600},
		"age of a year":          {MaxAge: 365 * 24 * time.Hour},
		"more than a day":        {MaxAge: 24*time.Hour + 1},
		"own member":             {Extra: map[string]any{"resource": "https://evil/"}},
		"own member, unset":      {Extra: map[string]any{"scopes_supported": []string{}}},
		"not JSON":               {Extra: map[string]any{"x": func() {}}},
	}
	for name, m := range mistakes {
		pattern, h, err := gate.Metadata(m)
		require.Empty(t, pattern, name)
		require.Nil(t, h, name)
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		rt := gate.NewRouter()
		rt.Metadata(m)
		_, routed := rt.Handler()
		requireError(t, routed, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, routed, bearergate.AsError(err).Cause.Error(), "the same mistake")
		require.NotContains(t, routed.Error(), "the handler is nil", name)
	}
	_, _, err := gate.Metadata(middleware.Metadata{JWKSURI: "x", Policy: "y", MaxAge: 1})
	for _, field := range []string{"JWKSURI", "Policy", "MaxAge"} {
		require.ErrorContains(t, err, field, "all at once")
	}
	var none *middleware.Gate
	for _, gate := range []*middleware.Gate{none, {}, newGate(t, accepts(reader), middleware.Config{})} {
		_, _, err := gate.Metadata(middleware.Metadata{})
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
}

// req: R9728-06
func TestResourceMetadataGoesWithEveryChallenge(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{Realm: "x", Resource: "https://h/a"})
	step := gate.Require(scope.All("read"), middleware.StepUp([]string{"mfa"}, time.Minute))(forbidden(t))
	w := httptest.NewRecorder()
	step.ServeHTTP(w, bearer("GET", good))
	require.Equal(t, `Bearer realm="x", error="insufficient_user_authentication", error_description="`+bodyStepUp+
		`", acr_values="mfa", max_age="60", resource_metadata="https://h/.well-known/oauth-protected-resource/a"`, w.Header().Get("WWW-Authenticate"))
	// No challenge, nothing to add it to.
	gate = newGate(t, answers(bearergate.ErrUnavailable), middleware.Config{Resource: "https://h/a"})
	w = httptest.NewRecorder()
	gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
	require.Empty(t, w.Header().Values("WWW-Authenticate"))
}

func FuzzResource(f *testing.F) {
	for _, s := range []string{"https://h", "https://h/", "https://h/a?x=1", "https://h/a#b", "http://localhost", "https://h/a/../b", "https://h/%2e", "https://h\"", "https://[::1]:2/?"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, resource string) {
		gate, err := middleware.New(accepts(reader), middleware.Config{Resource: resource})
		if err != nil || resource == "" {
			return
		}
		where := challengeOf(t, gate, httptest.NewRequest("GET", "/", nil)) // parsed strictly
		without := strings.Replace(where, "/.well-known/oauth-protected-resource", "", 1)
		if slash := strings.Replace(where, "/.well-known/oauth-protected-resource", "/", 1); without != resource && slash != resource {
			t.Fatalf("%q became %q", resource, where)
		}
		rt := gate.NewRouter()
		rt.Metadata(middleware.Metadata{})
		if _, err := rt.Handler(); err != nil {
			t.Fatalf("%q: %v", resource, err)
		}
	})
}
