package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// printCurl prints requests to paste into another terminal.
func printCurl(out io.Writer, url string, as *authtest.Server) {
	curl := func(what, path string, c authtest.Claims) {
		fmt.Fprintf(out, "# %s\ncurl -i -H 'Authorization: Bearer %s' %s\n\n", what, as.Token(c), url+path)
	}
	fmt.Fprintf(out, "The API is at %s, its authorization server at %s. Ctrl-C ends both.\n\n", url, as.Issuer())
	read := scope.Of("orders:read")
	curl("a fresh token, good for an hour: 200", "/orders", authtest.Claims{Subject: "alice", Scopes: read})
	curl("an expired token: 401", "/orders", authtest.Claims{Subject: "alice", Scopes: read, ExpiresAt: time.Now().Add(-time.Minute)})
	curl("a token with the wrong scope: 403", "/admin", authtest.Claims{Subject: "alice", Scopes: read})
	fmt.Fprintf(out, "# no token: 401\ncurl -i %s/orders\n\n", url)
	fmt.Fprintf(out, "# all of that in one command: exit code 0\n"+
		"echo my-secret | go run ./cmd/bearergate probe -issuer %s -audience %s -client-id my-client -client-secret-file - -scope orders:read -url %[3]s/orders -forbidden-url %[3]s/admin\n\n",
		as.Issuer(), audience, url)
	fmt.Fprintf(out, "# a new token, for any client, secret and scope: 200\n"+
		`TOKEN=$(curl -s -u my-client:my-secret -d grant_type=client_credentials -d scope=orders:read %s | sed 's/.*"access_token":"\([^"]*\)".*/\1/')`+
		"\n"+`curl -i -H "Authorization: Bearer $TOKEN" %s/orders`+"\n\n", as.URL("/token"), url)
}

// logTo prints each decision with the reason that the client is not told.
func logTo(out io.Writer) middleware.Hooks {
	logger := log.New(out, "", log.Ltime)
	return middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) {
		if e.Err != nil {
			logger.Printf("%s refused: %s", e.Pattern, e.Reason)
			return
		}
		logger.Printf("%s allowed", e.Pattern)
	}}
}
