package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/scope"
)

func TestDemonstration(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	const document = `resource_metadata="http://127.0.0.1:PORT/.well-known/oauth-protected-resource/mcp"`
	const scopes = `    Bearer realm="api", error="insufficient_scope", error_description="The access token does not have the required scope.", scope=`
	require.Equal(t, `A client that knows the address only, and steps up when it is asked to:
  POST /mcp server/discover: 401
    Bearer realm="api", scope="notes:read", `+document+`
  GET /.well-known/oauth-protected-resource/mcp: 200
  GET /.well-known/oauth-authorization-server: 200
  POST /token: 200
  POST /mcp server/discover: 200
  POST /mcp tools/call: 200
  list_notes: the notes of notes-client
  POST /mcp tools/call: 403
`+scopes+`"notes:read notes:delete", `+document+`
  GET /.well-known/oauth-protected-resource/mcp: 200
  GET /.well-known/oauth-authorization-server: 200
  POST /token: 200
  POST /mcp tools/call: 200
  delete_note: notes-client deleted note "7"

A token that is for reading only:
  POST /mcp server/discover: 200
  POST /mcp tools/call: 200
  list_notes: the notes of alice
  POST /mcp tools/call: 403
`+scopes+`"notes:read notes:delete", `+document+`
  delete_note: refused

A token without any scope:
  POST /mcp server/discover: 403
`+scopes+`"notes:read", `+document+`
  POST /mcp: 403
`+scopes+`"notes:read", `+document+`
  not connected

A token for another server:
  POST /mcp server/discover: 401
    Bearer realm="api", error="invalid_token", error_description="The access token is not valid here.", `+document+`
  POST /mcp: 401
    Bearer realm="api", error="invalid_token", error_description="The access token is not valid here.", `+document+`
  not connected

`, regexp.MustCompile(`127\.0\.0\.1:[0-9]+`).ReplaceAllString(out.String(), "127.0.0.1:PORT"))
}

// start starts an MCP server, and the authorization server whose tokens it takes.
func start(t *testing.T, stateless bool) (origin string, as *authtest.Server) {
	server := httptest.NewUnstartedServer(nil)
	origin = "http://" + server.Listener.Addr().String()
	as, err := startAS(origin)
	require.NoError(t, err)
	t.Cleanup(as.Close)
	server.Config.Handler, err = newServer(as.Issuer(), origin, stateless)
	require.NoError(t, err)
	server.Start()
	t.Cleanup(server.Close)
	return origin, as
}

func token(as *authtest.Server, subject string, scopes ...string) string {
	return as.Token(authtest.Claims{Subject: subject, Scopes: scope.Of(scopes...)})
}

// post sends a call of a tool, or another message, and returns the answer and its body.
func post(t *testing.T, origin, tool string, header http.Header) (*http.Response, string) {
	t.Helper()
	message := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":{}}}`
	if tool == "delete_note" {
		message = strings.Replace(message, `{}`, `{"id":"7"}`, 1)
	}
	if header.Get("Mcp-Protocol-Version") >= "2026-07-28" {
		message = strings.Replace(message, `"arguments"`, `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",`+
			`"io.modelcontextprotocol/clientInfo":{"name":"test","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}},"arguments"`, 1)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, origin+endpoint, strings.NewReader(message))
	require.NoError(t, err)
	r.Header = header.Clone()
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res, string(body)
}

func bearer(token string, more ...string) http.Header {
	header := http.Header{"Authorization": {"Bearer " + token}}
	for i := 0; i < len(more); i += 2 {
		header.Set(more[i], more[i+1])
	}
	return header
}

func TestRefusals(t *testing.T) {
	origin, as := start(t, true)
	downOrigin, down := start(t, true)
	down.Fail(authtest.Fault{Status: http.StatusServiceUnavailable})
	reader := token(as, "alice", "notes:read")
	document := `resource_metadata="` + origin + `/.well-known/oauth-protected-resource/mcp"`
	invalid := `Bearer realm="api", error="invalid_token", error_description="The access token is not valid here.", ` + document

	for name, tt := range map[string]struct {
		origin    string
		header    http.Header
		status    int
		challenge string
	}{
		"no token":     {origin, http.Header{}, 401, `Bearer realm="api", scope="notes:read", ` + document},
		"two tokens":   {origin, http.Header{"Authorization": {"Bearer " + reader, "Bearer " + reader}}, 400, `Bearer realm="api", error="invalid_request", error_description="The request must carry exactly one well-formed bearer token.", ` + document},
		"forged":       {origin, bearer(reader[:len(reader)-4] + "AAAA"), 401, invalid},
		"another AS":   {origin, bearer(token(down, "alice", "notes:read")), 401, invalid},
		"for the host": {origin, bearer(as.Token(authtest.Claims{Audience: []string{origin}, Scopes: scope.Of("notes:read")})), 401, invalid},
		"no scope":     {origin, bearer(token(as, "alice")), 403, `Bearer realm="api", error="insufficient_scope", error_description="The access token does not have the required scope.", scope="notes:read", ` + document},
		"an outage":    {downOrigin, bearer(token(down, "alice", "notes:read")), 503, ""},
	} {
		t.Run(name, func(t *testing.T) {
			res, body := post(t, tt.origin, "list_notes", tt.header)
			require.Equal(t, tt.status, res.StatusCode)
			require.Equal(t, tt.challenge, res.Header.Get("WWW-Authenticate"))
			if tt.status == 503 {
				require.Regexp(t, `^([1-9]|[1-5][0-9]|60)$`, res.Header.Get("Retry-After"))
			}
			var problem struct{ Status int }
			require.NoError(t, json.Unmarshal([]byte(body), &problem), "more than the refusal was written: %s", body)
			require.Equal(t, tt.status, problem.Status)
		})
	}
}

// One challenge names all that a call takes, whatever the client has: a client that asks for
// exactly what it is told gets in the next time.
func TestOneChallengeNamesAll(t *testing.T) {
	origin, as := start(t, true)
	named := regexp.MustCompile(`scope="([^"]*)"`)
	for _, tt := range []struct {
		name   string
		tool   string
		token  string // "": none
		status int
		scopes string
		says   string // the second time
	}{
		{name: "no token, a tool that takes more", tool: "delete_note", status: 401, scopes: "notes:read notes:delete", says: "deleted note"},
		{name: "no token, a tool that takes no more", tool: "list_notes", status: 401, scopes: "notes:read", says: "the notes of"},
		{name: "no scope", tool: "delete_note", token: token(as, "alice"), status: 403, scopes: "notes:read notes:delete", says: "deleted note"},
		{name: "the one half", tool: "delete_note", token: token(as, "alice", "notes:read"), status: 403, scopes: "notes:read notes:delete", says: "deleted note"},
		{name: "the other half", tool: "delete_note", token: token(as, "alice", "notes:delete"), status: 403, scopes: "notes:read notes:delete", says: "deleted note"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			headers := func(token string) http.Header {
				h := bearer(token, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", tt.tool)
				if token == "" {
					h.Del("Authorization")
				}
				return h
			}
			res, body := post(t, origin, tt.tool, headers(tt.token))
			require.Equal(t, tt.status, res.StatusCode, body)
			found := named.FindStringSubmatch(res.Header.Get("WWW-Authenticate"))
			require.Len(t, found, 2)
			require.Equal(t, tt.scopes, found[1])
			require.Equal(t, tt.status == 401, !strings.Contains(res.Header.Get("WWW-Authenticate"), "error="))

			res, body = post(t, origin, tt.tool, headers(token(as, "alice", strings.Fields(found[1])...)))
			require.Equal(t, 200, res.StatusCode, body)
			require.Contains(t, body, tt.says)
		})
	}
	// The headers choose a gate at the endpoint only.
	for _, path := range []string{"/", "/mcp/", "/other", "//mcp"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, origin+path, http.NoBody)
		require.NoError(t, err)
		r.Header = bearer(token(as, "alice", "notes:read", "notes:delete"), "Mcp-Method", "tools/call", "Mcp-Name", "delete_note")
		res, err := http.DefaultTransport.RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Contains(t, []int{http.StatusTemporaryRedirect, http.StatusNotFound}, res.StatusCode, path) // of the Router
	}
}

func TestMetadata(t *testing.T) {
	origin, as := start(t, true)
	res, err := http.Get(origin + "/.well-known/oauth-protected-resource/mcp")
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.JSONEq(t, `{"resource":"`+origin+`/mcp","authorization_servers":["`+as.Issuer()+`"],"scopes_supported":["notes:read"],
		"bearer_methods_supported":["header"],"resource_name":"Notes"}`, string(body))
}

// The client of the SDK, with and without sessions.
func TestClient(t *testing.T) {
	for mode, stateless := range map[string]bool{"stateless": true, "sessions": false} {
		t.Run(mode, func(t *testing.T) {
			origin, as := start(t, stateless)

			_, err := connect(t.Context(), origin, nil, http.DefaultTransport)
			require.ErrorContains(t, err, "Unauthorized")

			reader, err := connect(t.Context(), origin, fixed(token(as, "alice", "notes:read")), http.DefaultTransport)
			require.NoError(t, err)
			said, err := call(t.Context(), reader, "list_notes")
			require.NoError(t, err)
			require.Equal(t, "the notes of alice", said)
			said, err = call(t.Context(), reader, "delete_note")
			require.Error(t, err)
			require.NotContains(t, said, "deleted")
			said, err = call(t.Context(), reader, "list_notes") // the session goes on
			require.NoError(t, err)
			require.Equal(t, "the notes of alice", said)
			require.NoError(t, reader.Close())

			owner, err := connect(t.Context(), origin, fixed(token(as, "bob", "notes:read", "notes:delete")), http.DefaultTransport)
			require.NoError(t, err)
			said, err = call(t.Context(), owner, "delete_note")
			require.NoError(t, err)
			require.Equal(t, `bob deleted note "7"`, said)
			require.NoError(t, owner.Close())
		})
	}
}

// In a session, each message has the rights of its own token: not those of the
// one that opened the session, and only its user gets in.
func TestSession(t *testing.T) {
	origin, as := start(t, false)
	owner, err := connect(t.Context(), origin, fixed(token(as, "alice", "notes:read", "notes:delete")), http.DefaultTransport)
	require.NoError(t, err)
	require.NotEmpty(t, owner.ID())

	for name, tt := range map[string]struct {
		token  string
		status int
		says   string
	}{
		"the same rights":  {token(as, "alice", "notes:read", "notes:delete"), 200, `alice deleted note`},
		"less":             {token(as, "alice", "notes:read"), 200, `"isError":true`},
		"somebody else":    {token(as, "mallory", "notes:read", "notes:delete"), 403, "session user mismatch"},
		"another client":   {as.Token(authtest.Claims{Subject: "alice", ClientID: "other", Scopes: scope.Of("notes:read", "notes:delete")}), 403, "session user mismatch"},
		"no token of ours": {"x.y.z", 401, "not valid here"},
	} {
		t.Run(name, func(t *testing.T) {
			res, body := post(t, origin, "delete_note", bearer(tt.token, "Mcp-Session-Id", owner.ID(), "Mcp-Protocol-Version", "2025-11-25"))
			require.Equal(t, tt.status, res.StatusCode, body)
			require.Contains(t, body, tt.says)
			require.Equal(t, tt.says == "alice deleted note", strings.Contains(body, "deleted note"))
		})
	}
	require.NoError(t, owner.Close())
}

// The header that names the tool can ask for more, and never for less.
func TestHeaderOpensNothing(t *testing.T) {
	origin, as := start(t, true)
	reader := token(as, "alice", "notes:read")
	for name, tt := range map[string]struct {
		tool   string
		header http.Header
		status int
		says   string
	}{
		"an older client":               {"delete_note", bearer(reader, "Mcp-Protocol-Version", "2025-11-25"), 200, `"isError":true`},
		"without version":               {"delete_note", bearer(reader), 200, `"isError":true`},
		"an older client, another tool": {"delete_note", bearer(reader, "Mcp-Protocol-Version", "2025-11-25", "Mcp-Method", "tools/call", "Mcp-Name", "list_notes"), 200, `"isError":true`},
		"another tool":                  {"delete_note", bearer(reader, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "list_notes"), 400, "header mismatch"},
		"another method":                {"delete_note", bearer(reader, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/list", "Mcp-Name", "delete_note"), 400, "header mismatch"},
		"the truth":                     {"delete_note", bearer(reader, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "delete_note"), 403, "required scope"},
		"more than it takes":            {"list_notes", bearer(reader, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "delete_note"), 403, "required scope"},
		"the truth, and allowed":        {"list_notes", bearer(reader, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "list_notes"), 200, "the notes of alice"},
		"a tool that does not exist":    {"drop_notes", bearer(reader), 200, `"isError":true`},
	} {
		t.Run(name, func(t *testing.T) {
			res, body := post(t, origin, tt.tool, tt.header)
			require.Equal(t, tt.status, res.StatusCode, body)
			require.Contains(t, body, tt.says)
			require.NotContains(t, body, "deleted")
		})
	}
}

func TestAuthorize(t *testing.T) {
	all := bearergate.NewToken(bearergate.Claims{Subject: "alice", Scopes: scope.Of("notes:read", "notes:delete")})
	opener := bearergate.NewToken(bearergate.Claims{Subject: "alice", Scopes: scope.Of("notes:read", "notes:delete", "notes:export")})
	with := func(token any) *mcp.RequestExtra {
		return &mcp.RequestExtra{TokenInfo: &auth.TokenInfo{Extra: map[string]any{"token": token}}}
	}
	for name, tt := range map[string]struct {
		tool  string
		extra *mcp.RequestExtra
		runs  bool
	}{
		"a listed tool":            {"delete_note", with(all), true},
		"a tool that is forgotten": {"export_notes", with(all), false},
		"nothing beside the call":  {"list_notes", nil, false},
		"no token":                 {"list_notes", &mcp.RequestExtra{}, false},
		"a nil token":              {"list_notes", with((*bearergate.Token)(nil)), false},
		"something else":           {"list_notes", with("alice"), false},
	} {
		t.Run(name, func(t *testing.T) {
			ran := false
			next := func(ctx context.Context, _ string, _ mcp.Request) (mcp.Result, error) {
				ran = true
				got, ok := bearergate.FromContext(ctx)
				require.True(t, ok)
				require.Same(t, all, got)
				return &mcp.CallToolResult{}, nil
			}
			// The token that opened the session is in the context, and counts for nothing.
			result, err := authorize(next)(bearergate.NewContext(t.Context(), opener), "tools/call",
				&mcp.CallToolRequest{Params: &mcp.CallToolParamsRaw{Name: tt.tool}, Extra: tt.extra})
			require.NoError(t, err)
			require.Equal(t, tt.runs, ran)
			require.Equal(t, !tt.runs, result.(*mcp.CallToolResult).IsError)
		})
	}
}

// Without the gate, nobody gets past carry.
func TestCarryWithoutGate(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, endpoint, nil)
	r.Header.Set("Authorization", "Bearer x.y.z")
	carry(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") })).ServeHTTP(w, r)
	require.Equal(t, http.StatusInternalServerError, w.Code)
}
