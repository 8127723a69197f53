package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// endpoint is the path of the MCP server.
const endpoint = "/mcp"

// base is what every message takes, and all that a client asks for at first.
var base = scope.All("notes:read")

// needs is what each tool takes beside base. A tool that is not listed cannot be called.
var needs = map[string]scope.Requirement{
	"list_notes":  scope.All("notes:read"),
	"delete_note": scope.All("notes:delete"),
}

// newServer returns the MCP server at an origin, "https://notes.example.com" for
// example, for the tokens of issuer.
//
// Stateless is the better choice: it is all that the protocol has since 2026-07-28,
// and nothing of one request is left for the next. What is checked here holds for
// sessions too.
func newServer(issuer, origin string, stateless bool) (http.Handler, error) {
	resource := origin + endpoint // what clients ask a token for, and its aud
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{resource}})
	if err != nil {
		return nil, err
	}
	// A client that has no token yet asks for the scopes that its first challenge names.
	gate, err := middleware.New(verifier, middleware.Config{Resource: resource, AdvertiseScopes: true})
	if err != nil {
		return nil, err
	}

	server := mcp.NewServer(&mcp.Implementation{Name: "notes", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "list_notes", Description: "Lists your notes."}, listNotes)
	mcp.AddTool(server, &mcp.Tool{Name: "delete_note", Description: "Deletes a note."}, deleteNote)
	server.AddReceivingMiddleware(authorize)
	transport := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{Stateless: stateless, PropagateRequestCancellation: true})

	// MCP wants Origin checked: add the origins of clients that run in a browser, and a
	// CORS handler around it all.
	messages := http.NewCrossOriginProtection().Handler(carry(transport))
	router := gate.NewRouter()
	router.Metadata(middleware.Metadata{AuthorizationServers: []string{issuer}, Name: "Notes"})
	router.Handle(endpoint, base, messages, middleware.CancelOnExpiry()) // a stream ends with its token
	rest, err := router.Handler()
	if err != nil {
		return nil, err
	}
	return perTool(gate, messages, rest), nil
}

// carry gives the SDK the token of each HTTP request, so that it stays with the
// message. The context of a message is not enough: in a session it is that of the
// request that opened the session, whose token may have been worth more.
//
// The UserID keeps everybody else out of a session.
func carry(next http.Handler) http.Handler {
	found := func(ctx context.Context, _ string, _ *http.Request) (*auth.TokenInfo, error) {
		token, ok := bearergate.FromContext(ctx)
		if !ok {
			return nil, errors.New("no gate in front of the server")
		}
		return &auth.TokenInfo{
			UserID: fmt.Sprintf("%q %q %q", token.Issuer(), token.Subject(), token.ClientID()),
			Extra:  map[string]any{"token": token},
		}, nil
	}
	// The gate has judged the times, with its leeway.
	return auth.RequireBearerToken(found, &auth.RequireBearerTokenOptions{AllowMissingExpiration: true})(next)
}

// authorize puts the token of a message into its context, and lets nobody call a
// tool without the scopes that it takes.
func authorize(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, request mcp.Request) (mcp.Result, error) {
		var token *bearergate.Token // authorized for nothing
		if extra := request.GetExtra(); extra != nil && extra.TokenInfo != nil {
			token, _ = extra.TokenInfo.Extra["token"].(*bearergate.Token)
		}
		if call, ok := request.(*mcp.CallToolRequest); ok {
			need, listed := needs[call.Params.Name]
			if !listed || token.Authorize(need) != nil {
				refusal := say("The access token does not have the required scope.") // in fixed words, as those of the gate
				refusal.IsError = true
				return refusal, nil //nolint:nilerr // the refusal is the result
			}
		}
		return next(bearergate.NewContext(ctx, token), method, request)
	}
}

// perTool has one gate decide on a call of a tool, by all that the call takes. Whoever has
// no token, or one that is not worth enough, is told of all of it at once, with 401 or 403
// as MCP wants it. Two gates, one for base and one for the tool, would each name their half,
// and a client that asks for exactly what it is told would never get in.
//
// Which tool it is stands in a header, as of protocol version 2026-07-28, and the SDK
// refuses one that is not true. What older clients leave out, or make up, can only make
// this ask for more than base: it is authorize that decides.
func perTool(gate *middleware.Gate, messages, rest http.Handler) http.Handler {
	tools := map[string]http.Handler{}
	for name, need := range needs {
		tools[name] = gate.Require(scope.AllOf(base, need), middleware.CancelOnExpiry())(messages)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tool, ok := tools[r.Header.Get("Mcp-Name")]; ok && r.URL.Path == endpoint && r.Header.Get("Mcp-Method") == "tools/call" {
			tool.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

type nothing struct{}

type note struct {
	ID string `json:"id"`
}

func listNotes(ctx context.Context, _ *mcp.CallToolRequest, _ nothing) (*mcp.CallToolResult, any, error) {
	token, _ := bearergate.FromContext(ctx)
	return say("the notes of " + token.Subject()), nil, nil
}

func deleteNote(ctx context.Context, _ *mcp.CallToolRequest, n note) (*mcp.CallToolResult, any, error) {
	token, _ := bearergate.FromContext(ctx)
	return say(fmt.Sprintf("%s deleted note %q", token.Subject(), n.ID)), nil, nil
}

func say(text string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
}
