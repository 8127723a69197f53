package trouble_test

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

// mistake is a wrong configuration, which a constructor refuses.
type mistake struct {
	title  string
	wrong  func() error // of the constructor
	says   string       // in the text of the error
	mended string
	mend   func() error
}

// text is what the constructor says, in one line, without the place of the call.
func (m mistake) text(t *testing.T) string {
	t.Helper()
	err := m.wrong()
	require.Error(t, err)
	text := strings.TrimPrefix(err.Error(), "bearergate: misconfigured: config: ")
	text = regexp.MustCompile(`[^ ]*/\w+\.go:\d+: `).ReplaceAllString(text, "main.go:42: ")
	return strings.NewReplacer(":\n", ": ", "\n", "; ").Replace(text)
}

// newVerifier is jwtverify.New with a change of a good configuration.
func newVerifier(change func(*jwtverify.Config)) func() error {
	return func() error {
		c := jwtverify.Config{Issuer: issuer, Audiences: []string{api}}
		change(&c)
		_, err := jwtverify.New(c)
		return err
	}
}

func newCache(change func(*jwks.Config)) func() error {
	return func() error {
		c := jwks.Config{Issuer: issuer}
		change(&c)
		_, err := jwks.New(c)
		return err
	}
}

func newClient(change func(*introspect.Config)) func() error {
	return func() error {
		c := introspect.Config{Issuer: issuer, Audiences: []string{api}, Auth: introspect.BasicAuth("orders-api", secret)}
		change(&c)
		_, err := introspect.New(c)
		return err
	}
}

func newRouter(change func(*issuers.Config)) func() error {
	return func() error {
		v, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{api}})
		if err != nil {
			return err
		}
		c := issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: v}}
		change(&c)
		_, err = issuers.NewRouter(c)
		return err
	}
}

func newGate(v bearergate.Verifier, change func(*middleware.Config)) func() error {
	return func() error {
		c := middleware.Config{}
		change(&c)
		_, err := middleware.New(v, c)
		return err
	}
}

// newForward has a proxy ask about one route; with is a Config of mtls, or an option of the
// route.
func newForward(change func(*middleware.ForwardAuthConfig), with ...any) func() error {
	return func() error {
		var gateConfig middleware.Config
		var opts []middleware.RouteOption
		for _, w := range with {
			switch w := w.(type) {
			case mtls.Config:
				b, err := mtls.New(w)
				if err != nil {
					return err
				}
				gateConfig.Bindings = append(gateConfig.Bindings, b)
			case middleware.RouteOption:
				opts = append(opts, w)
			}
		}
		gate, err := middleware.New(kit.Granting(), gateConfig)
		if err != nil {
			return err
		}
		rt := gate.NewRouter()
		rt.Authenticated("GET /orders", kit.Says(""), opts...)
		c := middleware.ForwardAuthConfig{Proxy: middleware.Nginx, Trusted: proxies}
		change(&c)
		_, err = rt.ForwardAuth(c)
		return err
	}
}

// newRoutes is a router with these routes.
func newRoutes(register func(*middleware.Router)) func() error {
	return func() error {
		gate, err := middleware.New(kit.Granting(), middleware.Config{})
		if err != nil {
			return err
		}
		rt := gate.NewRouter()
		register(rt)
		_, err = rt.Handler()
		return err
	}
}

func route(pattern string, need scope.Requirement, opts ...middleware.RouteOption) func() error {
	return newRoutes(func(rt *middleware.Router) { rt.Handle(pattern, need, kit.Says(""), opts...) })
}

func mistakes() []mistake {
	static := func(set string) func() error {
		return func() error {
			_, err := jwks.Static([]byte(set))
			return err
		}
	}
	const ed25519 = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"%s}`
	jwk := func(more string) string { return strings.Replace(ed25519, "%s", more, 1) }
	read := scope.All("orders:read")
	return slices.Concat([]mistake{
		{
			title: "Nothing is set", wrong: func() error { _, err := jwtverify.New(jwtverify.Config{}); return err },
			says: "Issuer is empty: set it", mended: "Issuer and Audiences are set.", mend: newVerifier(func(*jwtverify.Config) {}),
		},
		{
			title: "Issuer is the discovery URL", wrong: newVerifier(func(c *jwtverify.Config) { c.Issuer += "/.well-known/openid-configuration" }),
			says: "cut it off before /.well-known/", mended: "It ends there.", mend: newVerifier(func(*jwtverify.Config) {}),
		},
		{
			title: "Issuer was read from a file, and ends with a line break", wrong: newVerifier(func(c *jwtverify.Config) { c.Issuer += "\n" }),
			says: "has white space around it: remove it", mended: "It is trimmed.", mend: newVerifier(func(c *jwtverify.Config) { c.Issuer = strings.TrimSpace(c.Issuer + "\n") }),
		},
		{
			title: "Issuer is plain http", wrong: newVerifier(func(c *jwtverify.Config) { c.Issuer = "http://keycloak:8080/realms/main" }),
			says: "is http: use https", mended: "It is https.", mend: newVerifier(func(c *jwtverify.Config) { c.Issuer = "https://keycloak:8443/realms/main" }),
		},
		{
			title: "Issuer is a host", wrong: newVerifier(func(c *jwtverify.Config) { c.Issuer = "as.example.test" }),
			says: "write https://host/path", mended: "It is a URL.", mend: newVerifier(func(*jwtverify.Config) {}),
		},
		{
			title: "Algorithms has HS256", wrong: newVerifier(func(c *jwtverify.Config) { c.Algorithms = []string{"HS256"} }),
			says: "use asymmetric signatures", mended: "It is left out.", mend: newVerifier(func(c *jwtverify.Config) { c.Algorithms = nil }),
		},
		{
			title: "Leeway has no unit", wrong: newVerifier(func(c *jwtverify.Config) { c.Leeway = 30 }),
			says: "write 30*time.Second", mended: "It is 30*time.Second.", mend: newVerifier(func(c *jwtverify.Config) { c.Leeway = 30 * time.Second }),
		},
		{
			title: "Leeway is -1, for none", wrong: newVerifier(func(c *jwtverify.Config) { c.Leeway = -1 }),
			says: "or set NoLeeway for none", mended: "NoLeeway is set.", mend: newVerifier(func(c *jwtverify.Config) { c.NoLeeway = true }),
		},
		{
			title: "The keys are of the issuer with another slash", wrong: newVerifier(func(c *jwtverify.Config) { c.Keys = keysOf(issuer + "/") }),
			says: "differ only by a slash at the end: add it to Issuer", mended: "Issuer has it too.", mend: newVerifier(func(c *jwtverify.Config) {
				c.Issuer += "/"
				c.Keys = keysOf(issuer + "/")
			}),
		},
		{
			title: "FetchTimeout has no unit", wrong: newCache(func(c *jwks.Config) { c.FetchTimeout = 5 }),
			says: "write 5*time.Second", mended: "It is 5*time.Second.", mend: newCache(func(c *jwks.Config) { c.FetchTimeout = 5 * time.Second }),
		},
		{
			title: "A single key is given for a key set", wrong: static(jwk("")),
			says: `{"keys":[{"kty":…}]}`, mended: "It stands in a set.", mend: static(`{"keys":[` + jwk("") + `]}`),
		},
		{
			title: "The key set is for encryption", wrong: static(`{"keys":[` + jwk(`,"use":"enc"`) + `]}`),
			says: "use is not sig", mended: "It has a key for signatures.", mend: static(`{"keys":[` + jwk(`,"use":"sig"`) + `]}`),
		},
		{
			title: "Timeout has no unit", wrong: newClient(func(c *introspect.Config) { c.Timeout = 3 }),
			says: "write 3*time.Second", mended: "It is 3*time.Second.", mend: newClient(func(c *introspect.Config) { c.Timeout = 3 * time.Second }),
		},
		{
			title: "The variable with the secret is not set", wrong: newClient(func(c *introspect.Config) { c.Auth = introspect.BasicAuth("orders-api", "") }),
			says: "the secret is empty", mended: "It is set.", mend: newClient(func(*introspect.Config) {}),
		},
		{
			title: "There are no credentials for introspection", wrong: newClient(func(c *introspect.Config) { c.Auth = nil }),
			says: "Auth is nil", mended: "Auth is BasicAuth.", mend: newClient(func(*introspect.Config) {}),
		},
		{
			title: "The cache is off, and configured", wrong: newClient(func(c *introspect.Config) { c.DisableCache, c.PositiveTTL = true, time.Minute }),
			says: "leave out the one or the other", mended: "DisableCache is left out.", mend: newClient(func(c *introspect.Config) { c.PositiveTTL = time.Minute }),
		},
		{
			title: "The introspection endpoint is plain http", wrong: newClient(func(c *introspect.Config) { c.Endpoint = "http://as.internal/introspect" }),
			says: "must be https", mended: "It is https.", mend: newClient(func(c *introspect.Config) { c.Endpoint = "https://as.internal/introspect" }),
		},
		{
			title: "A verifier stands under another issuer", wrong: newRouter(func(c *issuers.Config) {
				c.Issuers = map[string]bearergate.Verifier{issuer + "/": c.Issuers[issuer]}
			}),
			says: "letter for letter", mended: "It stands under its own.", mend: newRouter(func(*issuers.Config) {}),
		},
		{
			title: "There is no verifier", wrong: newGate(nil, func(*middleware.Config) {}),
			says: "the verifier is nil", mended: "It is the result of a constructor.", mend: newGate(kit.Granting(), func(*middleware.Config) {}),
		},
		{
			title: "The identity goes into a header of another meaning", wrong: newGate(kit.Granting(), func(c *middleware.Config) {
				c.Identity = map[string]func(*bearergate.Token) string{"Cookie": (*bearergate.Token).Subject}
			}),
			says: "choose another name", mended: "It goes into X-User.", mend: newGate(kit.Granting(), func(c *middleware.Config) {
				c.Identity = map[string]func(*bearergate.Token) string{"X-User": (*bearergate.Token).Subject}
			}),
		},
		{
			title: "A route takes bound tokens only, and the gate has no Bindings", wrong: route("GET /orders", read, middleware.Bound()),
			says: "no token could enter", mended: "Bound is taken out.", mend: route("GET /orders", read),
		},
		{
			title: "Two scopes are written as one name", wrong: route("GET /orders", scope.All("orders:read orders:write")),
			says: `All("a", "b")`, mended: "Each is a name of its own.", mend: route("GET /orders", scope.All("orders:read", "orders:write")),
		},
		{
			title: "A template has a placeholder that the pattern lacks", wrong: route("GET /orders/{id}", scope.Template("order:read:{order}")),
			says: "give one of them the name of the other", mended: "Both say id.", mend: route("GET /orders/{id}", scope.Template("order:read:{id}")),
		},
		{
			title: "A route demands nothing", wrong: route("GET /orders", scope.Requirement{}),
			says: "use Authenticated for any valid token", mended: "It is Authenticated.", mend: newRoutes(func(rt *middleware.Router) { rt.Authenticated("GET /orders", kit.Says("")) }),
		},
		{
			title: "There is no space behind the method", wrong: route("GET/orders", read),
			says: "a space between a method and its path", mended: "There is one.", mend: route("GET /orders", read),
		},
		{
			title: "Recheck has no unit", wrong: route("GET /events", read, middleware.Recheck(30)),
			says: "30*time.Second", mended: "It is 30*time.Second.", mend: route("GET /events", read, middleware.Recheck(30*time.Second)),
		},
		{
			title: "A proxy asks, and Trusted is everybody", wrong: newForward(func(c *middleware.ForwardAuthConfig) { c.Trusted = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} }),
			says: "which is everybody", mended: "Trusted has the network of the proxy.", mend: newForward(func(*middleware.ForwardAuthConfig) {}),
		},
		{
			title: "A proxy asks, and the gate wants the certificate of the connection", wrong: newForward(func(*middleware.ForwardAuthConfig) {}, mtls.Config{Direct: true}),
			says: "leave Direct out", mended: "The proxy passes the client's certificate on in a header.", mend: newForward(func(*middleware.ForwardAuthConfig) {}, *forwarded(mtls.EscapedPEM)),
		},
		{
			title: "A proxy asks about a route with Recheck", wrong: newForward(func(*middleware.ForwardAuthConfig) {}, middleware.Recheck(time.Minute)),
			says: "cannot be ended", mended: "The proxy bounds how long it serves a request.", mend: newForward(func(*middleware.ForwardAuthConfig) {}),
		},
		{
			title: "Two routes have the same pattern", wrong: newRoutes(func(rt *middleware.Router) {
				rt.Handle("GET /orders", read, kit.Says(""))
				rt.Handle("GET /orders", scope.All("orders:write"), kit.Says(""))
			}),
			says: "change the pattern of one of the two", mended: "One of them is POST.", mend: newRoutes(func(rt *middleware.Router) {
				rt.Handle("GET /orders", read, kit.Says(""))
				rt.Handle("POST /orders", scope.All("orders:write"), kit.Says(""))
			}),
		},
	}, certificateMistakes(), possessionMistakes())
}

// keysOf is a cache of the keys of an issuer.
func keysOf(of string) *jwks.Cache {
	cache, err := jwks.New(jwks.Config{Issuer: of})
	if err != nil {
		panic(err)
	}
	return cache
}

// A mistake is found at start, its text says what to change, and that mends it.
func TestMistakes(t *testing.T) {
	texts := map[string]string{}
	for _, m := range mistakes() {
		t.Run(m.title, func(t *testing.T) {
			err := m.wrong()
			require.ErrorIs(t, err, bearergate.ErrMisconfigured)
			require.Equal(t, bearergate.ReasonConfig, bearergate.ReasonOf(err))
			require.ErrorContains(t, err, m.says)
			require.NotContains(t, err.Error(), secret)
			require.Empty(t, texts[m.text(t)], "the text is that of another mistake")
			texts[m.text(t)] = m.title
			require.NotEmpty(t, m.mended)
			require.NoError(t, m.mend())
		})
	}
	require.GreaterOrEqual(t, len(texts), 15)
}
