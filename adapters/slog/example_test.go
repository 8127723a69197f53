package sloggate_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"

	sloggate "github.com/bearergate/bearergate/adapters/slog"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

type requestID struct{}

func Example() {
	as, err := authtest.Start(authtest.WithInMemory()) // stands for your authorization server
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()

	audit, err := sloggate.New(sloggate.Config{
		Handler: slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: reproducible}),
		Attrs: func(ctx context.Context) []slog.Attr {
			id, _ := ctx.Value(requestID{}).(string) // or the ID of the trace
			return []slog.Attr{slog.String("request_id", id)}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := jwtverify.New(jwtverify.Config{
		Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
		Hooks: audit.VerifyHooks(), KeyHooks: audit.KeyHooks(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := v.Warm(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	gate, err := middleware.New(v, middleware.Config{Hooks: audit.GateHooks()})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))

	for i, token := range []string{
		as.Token(authtest.Claims{Subject: "alice", ClientID: "shop", ID: "7fd1", Scopes: scope.Of("orders:read")}),
		as.Token(authtest.Claims{Subject: "bob", ClientID: "shop", ID: "7fd2", Scopes: scope.Of("orders:write")}),
		"forged",
	} {
		r := httptest.NewRequest("GET", "/orders/7", nil)
		r = r.WithContext(context.WithValue(r.Context(), requestID{}, fmt.Sprint("r", i+1)))
		r.Header.Set("Authorization", "Bearer "+token)
		mux.ServeHTTP(httptest.NewRecorder(), r)
	}
	// Output:
	// level=INFO msg="keys changed" issuer=https://as.example.test url=https://as.example.test/jwks keys=1 request_id=""
	// level=INFO msg="key cache state" issuer=https://as.example.test url=https://as.example.test/jwks from=empty to=fresh request_id=""
	// level=INFO msg="access decision" outcome=accepted method=GET route="GET /orders/{id}" source=header issuer=https://as.example.test required=orders:read principal=unknown subject=alice client=shop jti=7fd1 scopes=orders:read request_id=r1
	// level=WARN msg="access decision" outcome=refused reason=scope status=403 method=GET route="GET /orders/{id}" source=header issuer=https://as.example.test required=orders:read principal=unknown subject=bob client=shop jti=7fd2 scopes=orders:write detail="the token does not have the scopes" expected=orders:read found="\"orders:write\"" request_id=r2
	// level=WARN msg="access decision" outcome=refused reason=malformed status=401 method=GET route="GET /orders/{id}" source=header detail="jose: not exactly three parts: an opaque token, or none at all" request_id=r3
}

// reproducible leaves out what differs every time.
func reproducible(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == "duration" || a.Key == "added" || a.Key == "key" || a.Key == "schema" {
		return slog.Attr{}
	}
	return a
}
