// Command mcp protects an MCP server (Model Context Protocol, streamable HTTP) and
// shows how a client that knows nothing but its address finds the way in.
//
//	go -C examples/mcp run .
//
// What to copy from is server.go. The rest is demonstration: an authorization
// server, the client of the MCP SDK, and what they say to each other over HTTP.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/auth/extauth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"golang.org/x/oauth2"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/scope"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mcp:", err)
		os.Exit(1)
	}
}

// run starts everything, lets clients call tools and prints what happens.
func run(ctx context.Context, out io.Writer) (err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	origin := "http://" + listener.Addr().String()
	as, err := startAS(origin)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer as.Close()
	handler, err := newServer(as.Issuer(), origin, true)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Shutdown
	defer func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, server.Shutdown(grace))
	}()

	registered, err := extauth.NewClientCredentialsHandler(&extauth.ClientCredentialsHandlerConfig{
		Credentials: &oauthex.ClientCredentials{ClientID: "notes-client", ClientSecretAuth: &oauthex.ClientSecretAuth{ClientSecret: "any"}},
		HTTPClient:  &http.Client{Transport: printed{out}},
	})
	if err != nil {
		return err
	}
	read := scope.Of("notes:read")
	for _, client := range []struct {
		what  string
		oauth auth.OAuthHandler
		tools []string
	}{
		{"A client that knows the address only, and steps up when it is asked to:", registered, []string{"list_notes", "delete_note"}},
		{"A token that is for reading only:", fixed(as.Token(authtest.Claims{Subject: "alice", Scopes: read})), []string{"list_notes", "delete_note"}},
		{"A token without any scope:", fixed(as.Token(authtest.Claims{Subject: "alice"})), []string{"list_notes"}},
		{"A token for another server:", fixed(as.Token(authtest.Claims{Subject: "alice", Scopes: read, Audience: []string{"https://other.example.com"}})), []string{"list_notes"}},
	} {
		fmt.Fprintln(out, client.what)
		session, err := connect(ctx, origin, client.oauth, printed{out})
		if err != nil {
			fmt.Fprintf(out, "  not connected\n\n")
			continue
		}
		for _, tool := range client.tools {
			said, err := call(ctx, session, tool)
			if err != nil {
				said = "refused"
			}
			fmt.Fprintf(out, "  %s: %s\n", tool, said)
		}
		if err := session.Close(); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	return nil
}

// startAS starts an authorization server whose tokens are for the MCP server at origin.
func startAS(origin string) (*authtest.Server, error) {
	return authtest.Start(authtest.WithAudience(origin+endpoint),
		authtest.WithMetadata(map[string]any{"code_challenge_methods_supported": []string{"S256"}})) // without it, MCP clients go no further
}

// connect begins a session of the SDK's client.
func connect(ctx context.Context, origin string, oauth auth.OAuthHandler, transport http.RoundTripper) (*mcp.ClientSession, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "demo", Version: "1.0.0"}, nil)
	return client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: origin + endpoint, OAuthHandler: oauth, HTTPClient: &http.Client{Transport: transport},
		DisableStandaloneSSE: true, MaxRetries: -1,
	}, nil)
}

// errTool is the refusal of a tool, as opposed to that of the gate.
var errTool = errors.New("the tool refused")

// call calls a tool and returns the text that it answers.
func call(ctx context.Context, session *mcp.ClientSession, tool string) (string, error) {
	arguments := map[string]any{}
	if tool == "delete_note" {
		arguments["id"] = "7"
	}
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		return "", err
	}
	if result.IsError {
		err = errTool
	}
	var text strings.Builder
	for _, content := range result.Content {
		if t, ok := content.(*mcp.TextContent); ok {
			text.WriteString(t.Text)
		}
	}
	return text.String(), err
}

// fixed is an [auth.OAuthHandler] with one token that cannot get another.
type fixed string

func (f fixed) TokenSource(context.Context) (oauth2.TokenSource, error) {
	return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: string(f)}), nil
}

func (f fixed) Authorize(_ context.Context, _ *http.Request, refused *http.Response) error {
	return errors.Join(fmt.Errorf("status %d", refused.StatusCode), refused.Body.Close())
}

// printed is a transport that prints what is asked and answered.
type printed struct{ out io.Writer }

func (p printed) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	what := strings.TrimSpace(r.Method + " " + r.URL.Path + " " + r.Header.Get("Mcp-Method"))
	fmt.Fprintf(p.out, "  %s: %d\n", what, res.StatusCode)
	if challenge := res.Header.Get("WWW-Authenticate"); challenge != "" {
		fmt.Fprintf(p.out, "    %s\n", challenge)
	}
	return res, nil
}
