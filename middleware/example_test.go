package middleware_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// exampleVerifier knows two tokens. A service uses jwtverify.New or
// introspect.New here.
func exampleVerifier() bearergate.Verifier {
	issued := map[[sha256.Size]byte]*bearergate.Token{ // by hash: what is stored opens nothing, and comparing tells nothing
		sha256.Sum256([]byte("token-of-alice")): bearergate.NewToken(bearergate.Claims{Subject: "alice", Scopes: scope.Of("orders:read")}),
		sha256.Sum256([]byte("token-of-bob")):   bearergate.NewToken(bearergate.Claims{Subject: "bob", Scopes: scope.Of("profile", "document:read:7")}),
	}
	return bearergate.VerifierFunc(func(_ context.Context, token string) (*bearergate.Token, error) {
		if verified, ok := issued[sha256.Sum256([]byte(token))]; ok {
			return verified, nil
		}
		return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}
	})
}

func get(h http.Handler, authorization string) {
	r := httptest.NewRequest("GET", "/orders", nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(strings.TrimSpace(fmt.Sprint(w.Code, " ", w.Header().Get("WWW-Authenticate"))))
	fmt.Print(w.Body)
}

func ExampleGate_Require() {
	gate, err := middleware.New(exampleVerifier(), middleware.Config{Realm: "orders"})
	if err != nil {
		fmt.Println(err) // every mistake in Config at once
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /orders", gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := bearergate.FromContext(r.Context())
		fmt.Fprintf(w, "the orders of %s\n", token.Subject())
	})))

	get(mux, "Bearer token-of-alice")
	get(mux, "Bearer token-of-bob")
	get(mux, "Bearer something else")
	get(mux, "")
	// Output:
	// 200
	// the orders of alice
	// 403 Bearer realm="orders", error="insufficient_scope", error_description="The access token does not have the required scope.", scope="orders:read"
	// {"type":"about:blank","title":"Forbidden","status":403,"detail":"The access token does not have the required scope."}
	// 400 Bearer realm="orders", error="invalid_request", error_description="The request must carry exactly one well-formed bearer token."
	// {"type":"about:blank","title":"Bad Request","status":400,"detail":"The request must carry exactly one well-formed bearer token."}
	// 401 Bearer realm="orders"
	// {"type":"about:blank","title":"Unauthorized","status":401,"detail":"A bearer token is required."}
}

// In a framework with handlers of its own, Check decides and the framework answers.
func ExampleGate_Check() {
	gate, err := middleware.New(exampleVerifier(), middleware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("Authorization", "Bearer token-of-bob")
	token, _, err := gate.Check(r, scope.All("orders:read"))
	switch {
	case err == nil:
		fmt.Println("welcome,", token.Subject())
	case errors.Is(err, bearergate.ErrInsufficientScope):
		fmt.Println("forbidden; needed:", bearergate.AsError(err).Scopes)
	default:
		fmt.Println("refused:", bearergate.ReasonOf(err))
	}
	// Output: forbidden; needed: [orders:read]
}

// A transfer asks for a strong authentication of the last five minutes.
func ExampleStepUp() {
	gate, err := middleware.New(exampleVerifier(), middleware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	transfer := gate.Require(scope.All("orders:read"), middleware.StepUp([]string{"urn:example:mfa"}, 5*time.Minute))
	get(transfer(http.NotFoundHandler()), "Bearer token-of-alice")
	// Output:
	// 401 Bearer realm="api", error="insufficient_user_authentication", error_description="A stronger or more recent authentication of the user is required.", acr_values="urn:example:mfa", max_age="300"
	// {"type":"about:blank","title":"Unauthorized","status":401,"detail":"A stronger or more recent authentication of the user is required."}
}

// Closing an account asks for an authentication context of Microsoft Entra. How a client is
// told depends on whether its token says that it understands a claims challenge.
func ExampleAuthContext() {
	says := func(claims string) bearergate.Verifier { // stands in for jwtverify.New
		token := bearergate.NewToken(bearergate.Claims{Subject: "alice", Scopes: scope.Of("accounts:close"), Raw: []byte(claims)})
		return bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return token, nil })
	}
	for _, claims := range []string{`{"acrs":["c1"]}`, `{"xms_cc":["cp1"]}`, `{}`} {
		gate, err := middleware.New(says(claims), middleware.Config{AuthorizationURI: "https://login.microsoftonline.com/common/oauth2/authorize"})
		if err != nil {
			fmt.Println(err)
			return
		}
		shut := gate.Require(scope.All("accounts:close"), middleware.AuthContext("c1"))
		get(shut(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "closed") })), "Bearer token-of-alice")
	}
	// Output:
	// 200
	// closed
	// 401 Bearer realm="api", error="insufficient_claims", error_description="The user has to satisfy the authentication context that claims asks for.", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", claims="eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiYzEifX19"
	// {"type":"about:blank","title":"Unauthorized","status":401,"detail":"The user has to satisfy the authentication context that claims asks for."}
	// 401 Bearer realm="api", error="insufficient_user_authentication", error_description="A stronger or more recent authentication of the user is required.", acr_values="c1"
	// {"type":"about:blank","title":"Unauthorized","status":401,"detail":"A stronger or more recent authentication of the user is required."}
}

// CORS goes outside the gate: a preflight carries no token, and the script of
// another origin may read the challenge only if it is exposed.
func ExampleGate_Require_cors() {
	gate, err := middleware.New(exampleVerifier(), middleware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	cors := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "https://app.example.com")
			w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate")
			if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				w.Header().Set("Access-Control-Allow-Headers", "Authorization")
				w.WriteHeader(http.StatusNoContent)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	h := cors(gate.Require(scope.All("orders:read"))(http.NotFoundHandler()))

	preflight := httptest.NewRequest("OPTIONS", "/orders", nil)
	preflight.Header.Set("Access-Control-Request-Method", "GET")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, preflight)
	fmt.Println(w.Code, w.Header().Get("Access-Control-Allow-Headers"))

	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/orders", nil))
	fmt.Println(w.Code, w.Header().Get("Access-Control-Expose-Headers"))
	// Output:
	// 204 Authorization
	// 401 WWW-Authenticate
}

// The token of a session that a cookie names. CrossOriginProtection stands
// outside, because browsers attach the cookie to requests of other sites too.
func ExampleConfig_extract() {
	sessions := map[string]string{"s1": "token-of-alice"}
	gate, err := middleware.New(exampleVerifier(), middleware.Config{
		Extract: func(r *http.Request) (bearergate.Credentials, error) {
			cookies := r.CookiesNamed("__Host-session")
			if len(cookies) > 1 {
				return bearergate.Credentials{}, bearergate.ErrInvalidRequest
			}
			if len(cookies) == 0 {
				return bearergate.Credentials{}, bearergate.ErrMissingToken
			}
			token := sessions[cookies[0].Value] // "" is no token
			return bearergate.Credentials{Scheme: bearergate.SchemeBearer, Raw: bearergate.NewSecret(token)}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := http.NewCrossOriginProtection().Handler(gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})))
	for _, site := range []string{"same-origin", "cross-site"} {
		r := httptest.NewRequest("POST", "/orders", nil)
		r.Header.Set("Sec-Fetch-Site", site)
		r.AddCookie(&http.Cookie{Name: "__Host-session", Value: "s1"})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(site, w.Code)
	}
	// Output:
	// same-origin 204
	// cross-site 403
}

// An API from a real verifier to its answers.
func Example() {
	as, err := authtest.Start() // stands in for the authorization server
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()

	verifier, err := jwtverify.New(jwtverify.Config{
		Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	gate, err := middleware.New(verifier, middleware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	router := gate.NewRouter()
	router.Public("GET /health", http.HandlerFunc(hello))
	router.Handle("GET /orders", scope.All("orders:read"), http.HandlerFunc(hello))
	handler, err := router.Handler()
	if err != nil {
		fmt.Println(err)
		return
	}
	fetch(handler, "GET", "/health", "")
	fetch(handler, "GET", "/orders", as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read")}))
	fetch(handler, "GET", "/orders", as.Token(authtest.Claims{Scopes: scope.Of("profile")}))
	fetch(handler, "GET", "/orders", as.Token(authtest.Claims{ExpiresAt: time.Now().Add(-time.Hour)}))
	fetch(handler, "GET", "/orders", "")
	// Output:
	// GET /health: 200 hello stranger
	// GET /orders: 200 hello alice
	// GET /orders: 403
	// GET /orders: 401
	// GET /orders: 401
}

// One route trusts another verifier, and only that.
func ExampleVia() {
	payments := bearergate.VerifierFunc(func(_ context.Context, token string) (*bearergate.Token, error) {
		if sha256.Sum256([]byte(token)) != sha256.Sum256([]byte("token-for-payments")) {
			return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonAudience}
		}
		return bearergate.NewToken(bearergate.Claims{Subject: "carol", Scopes: scope.Of("pay")}), nil
	})
	gate, err := middleware.New(exampleVerifier(), middleware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("POST /payments", gate.Require(scope.All("pay"), middleware.Via(payments))(http.HandlerFunc(hello)))
	mux.Handle("GET /me", gate.Require(scope.Requirement{})(http.HandlerFunc(hello)))
	fetch(mux, "POST", "/payments", "token-for-payments")
	fetch(mux, "POST", "/payments", "token-of-alice")
	fetch(mux, "GET", "/me", "token-of-alice")
	fetch(mux, "GET", "/me", "token-for-payments")
	// Output:
	// POST /payments: 200 hello carol
	// POST /payments: 401
	// GET /me: 200 hello alice
	// GET /me: 401
}

// A gateway tells what stands behind it who calls. What a client claims about
// itself in such a header is removed.
func ExampleConfig_identity() {
	gate, err := middleware.New(exampleVerifier(), middleware.Config{
		Identity: map[string]func(*bearergate.Token) string{
			"X-Auth-Subject": (*bearergate.Token).Subject,
			"X-Auth-Scope":   func(t *bearergate.Token) string { return t.Scopes().String() },
		},
		DropAuthorization: true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	backend := gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Printf("%q %q %q\n", r.Header.Values("X-Auth-Subject"), r.Header.Values("X-Auth-Scope"), r.Header.Values("Authorization"))
	}))
	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("Authorization", "Bearer token-of-alice")
	r.Header.Set("X-Auth-Subject", "admin")
	backend.ServeHTTP(httptest.NewRecorder(), r)
	// Output: ["alice"] ["orders:read"] []
}

// Whom would a new policy refuse? It is decided and reported, and everybody
// passes: something else has to protect the handler meanwhile.
func ExampleConfig_reportOnly() {
	gate, err := middleware.New(exampleVerifier(), middleware.Config{
		InsecureReportOnly: true,
		Hooks: middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) {
			if e.Err != nil {
				fmt.Println("would refuse:", e.Reason)
			}
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	orders := gate.Require(scope.All("orders:read"))(http.HandlerFunc(hello))
	fetch(orders, "GET", "/orders", "token-of-alice")
	fetch(orders, "GET", "/orders", "token-of-bob")
	fetch(orders, "GET", "/orders", "guessed")
	// Output:
	// GET /orders: 200 hello alice
	// would refuse: scope
	// GET /orders: 200 hello bob
	// would refuse: inactive
	// GET /orders: 200 hello stranger
}

// certificateBinding is RFC 8705 for connections that end at this server.
type certificateBinding struct{}

func (certificateBinding) Scheme() bearergate.Scheme    { return bearergate.SchemeBearer }
func (certificateBinding) Members() []string            { return []string{"x5t#S256"} }
func (certificateBinding) Challenge() map[string]string { return nil }

func (certificateBinding) Confirm(_ context.Context, c bearergate.Call, token *bearergate.Token) (bearergate.Reply, error) {
	if c.TLS == nil || len(c.TLS.PeerCertificates) == 0 {
		return nil, errors.New("no client certificate")
	}
	sum := sha256.Sum256(c.TLS.PeerCertificates[0].Raw)
	want, ok := token.Confirmation().Value("x5t#S256")
	if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != want {
		return nil, errors.New("another client certificate")
	}
	return nil, nil
}

// The proof is whatever the token's cnf asks for: here the client certificate
// of the connection (RFC 8705).
func ExampleConfig_bindings() {
	verifier := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{Subject: "alice",
			Confirmation: map[string][]byte{"x5t#S256": []byte(`"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"`)}}), nil
	})
	gate, err := middleware.New(verifier, middleware.Config{Bindings: []bearergate.Binding{certificateBinding{}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest("GET", "/orders", nil) // stolen: sent without the certificate
	r.Header.Set("Authorization", "Bearer token-of-alice")
	_, _, err = gate.Check(r, scope.Requirement{})
	fmt.Println(bearergate.ReasonOf(err))
	// Output: binding
}

// A policy engine is asked last, about tokens that satisfy everything else.
func ExampleAllow() {
	gate, err := middleware.New(exampleVerifier(), middleware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	own := middleware.Allow(func(r *http.Request, token *bearergate.Token) error {
		if r.URL.Query().Get("of") != token.Subject() {
			return errors.New("somebody else's orders") // 403, ReasonPolicy
		}
		return nil
	})
	orders := gate.Require(scope.All("orders:read"), own)(http.HandlerFunc(hello))
	fetch(orders, "GET", "/orders?of=alice", "token-of-alice")
	fetch(orders, "GET", "/orders?of=bob", "token-of-alice")
	// Output:
	// GET /orders?of=alice: 200 hello alice
	// GET /orders?of=bob: 403
}

// organization is a Map for servers that write the tenant into a claim of their own.
func organization(c *bearergate.Claims) error {
	var own struct {
		Organization string `json:"org_id"`
	}
	err := bearergate.NewToken(*c).Claims(&own)
	c.Tenant = own.Organization
	return err
}

// One deployment, many customers: the tenant stands in a claim that only this
// server has, and in the path.
func ExampleTenant() {
	as, err := authtest.Start() // stands in for the authorization server
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	verifier, err := jwtverify.New(jwtverify.Config{
		Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, Map: organization,
		HTTPClient: as.Client(), // a service leaves it out
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	gate, err := middleware.New(verifier, middleware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	router := gate.NewRouter()
	router.Authenticated("GET /tenants/{tenant}/orders", http.HandlerFunc(hello),
		middleware.Tenant(func(r *http.Request) string { return r.PathValue("tenant") }))
	handler, err := router.Handler()
	if err != nil {
		fmt.Println(err)
		return
	}

	of := func(subject, tenant string) string {
		claims := as.Claims(authtest.Claims{Subject: subject})
		if tenant != "" {
			claims["org_id"] = tenant
		}
		return as.Sign(nil, claims)
	}
	fetch(handler, "GET", "/tenants/acme/orders", of("alice", "acme"))
	fetch(handler, "GET", "/tenants/globex/orders", of("alice", "acme")) // a token of acme asks for globex
	fetch(handler, "GET", "/tenants/globex/orders", of("bob", "globex"))
	fetch(handler, "GET", "/tenants/acme/orders", of("dave", "")) // a token of no tenant
	// Output:
	// GET /tenants/acme/orders: 200 hello alice
	// GET /tenants/globex/orders: 403
	// GET /tenants/globex/orders: 200 hello bob
	// GET /tenants/acme/orders: 403
}
