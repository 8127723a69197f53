package apikey_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// A key and its record, and an API that takes it until a date.
func Example() {
	key, record, err := apikey.Generate("orders") // the key is for its owner, the record for the API
	if err != nil {
		panic(err)
	}
	record.Owner, record.Scopes = "acme", []string{"orders:read"}

	// jwtverify.New(…), for example. This one knows no token.
	tokens := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return nil, bearergate.ErrInvalidToken
	})
	keys, err := apikey.New(apikey.Config{
		Issuer: "urn:example:api-keys", Prefix: "orders", Header: "X-API-Key",
		Records: []apikey.Record{record},
		Tokens:  tokens,
		End:     time.Now().AddDate(0, 6, 0),
	})
	if err != nil {
		panic(err)
	}
	gate, err := middleware.New(keys, middleware.Config{Extract: keys.Extract})
	if err != nil {
		panic(err)
	}
	orders := gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := bearergate.FromContext(r.Context())
		fmt.Fprint(w, "orders of "+token.ClientID())
	}))

	for name, value := range map[string]string{"X-Api-Key": key.Reveal(), "Authorization": "Bearer " + key.Reveal()} {
		r := httptest.NewRequest(http.MethodGet, "/orders", nil)
		r.Header.Set(name, value)
		w := httptest.NewRecorder()
		orders.ServeHTTP(w, r)
		fmt.Println(name, w.Code)
	}
	use := keys.Report().Keys[0]
	fmt.Println(use.Owner, use.Accepted)
	// Unordered output:
	// X-Api-Key 200
	// Authorization 401
	// acme 1
}
