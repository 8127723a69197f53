package sloggate_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/itchyny/gojq"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	sloggate "github.com/bearergate/bearergate/adapters/slog"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/admin"
	"github.com/bearergate/bearergate/scope"
)

const auditDoc = "../../docs/audit.md"

// query is a command of docs/audit.md.
type query struct {
	slurp  bool
	args   map[string]string
	filter string
}

var (
	heading    = regexp.MustCompile(`(?m)^### (.*)$`)
	jqCommand  = regexp.MustCompile(`(?s)jq ((?:-[a-z] )*)((?:--arg \S+ \S+ )*)'([^']*)' audit\.jsonl\n`)
	jqArgument = regexp.MustCompile(`--arg (\S+) (\S+) `)
)

// queries are the commands of docs/audit.md by their headings: one under each.
func queries(t *testing.T) map[string]query {
	t.Helper()
	text, err := os.ReadFile(auditDoc)
	require.NoError(t, err)
	found := map[string]query{}
	at := heading.FindAllSubmatchIndex(text, -1)
	for i, h := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		commands := jqCommand.FindAllStringSubmatch(string(text[h[1]:end]), -1)
		name := string(text[h[2]:h[3]])
		require.Len(t, commands, 1, name)
		q := query{slurp: strings.Contains(commands[0][1], "-s "), args: map[string]string{}, filter: commands[0][3]}
		for _, argument := range jqArgument.FindAllStringSubmatch(commands[0][2], -1) {
			q.args[argument[1]] = argument[2]
		}
		found[name] = q
	}
	require.Len(t, found, strings.Count(string(text), "jq -"), "a command that is not run")
	return found
}

// run is what jq prints, each value on a line.
func (q query) run(t *testing.T, records []map[string]any) []string {
	t.Helper()
	parsed, err := gojq.Parse(q.filter)
	require.NoError(t, err, q.filter)
	var names []string
	var values []any
	for name, value := range q.args {
		names, values = append(names, "$"+name), append(values, value)
	}
	code, err := gojq.Compile(parsed, gojq.WithVariables(names))
	require.NoError(t, err, q.filter)
	var inputs []any
	for _, r := range records {
		inputs = append(inputs, r)
	}
	if q.slurp {
		inputs = []any{inputs}
	}
	var out []string
	for _, input := range inputs {
		for results := code.Run(input, values...); ; {
			v, more := results.Next()
			if !more {
				break
			}
			if err, failed := v.(error); failed {
				require.NoError(t, err, q.filter)
			}
			line, err := gojq.Marshal(v)
			require.NoError(t, err)
			out = append(out, string(line))
		}
	}
	return out
}

// traffic is an hour of a service: a user, a robot that acts for her, a client, an opaque token,
// and an operator who shuts the user out.
func traffic(t *testing.T) []map[string]any {
	t.Helper()
	a, o := newAudit(t, sloggate.Config{MaxPerSecond: 10, Trace: func(context.Context) (string, string) { return "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7" }})
	as := authtest.New(t)
	jwts, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Hooks: a.VerifyHooks(), KeyHooks: a.KeyHooks()})
	require.NoError(t, err)
	opaque, err := introspect.New(introspect.Config{Issuer: as.Issuer(), Auth: introspect.BasicAuth("orders-api", "secret"), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Hooks: a.IntrospectHooks()})
	require.NoError(t, err)
	router, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{as.Issuer(): jwts}, Opaque: opaque})
	require.NoError(t, err)
	list, err := revocation.New(revocation.Config{MaxTokenLife: 2 * time.Hour, Hooks: a.RevocationHooks()})
	require.NoError(t, err)
	from, err := bearergate.NewClientAddress(bearergate.ClientAddressConfig{Header: "X-Forwarded-For", Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}})
	require.NoError(t, err)
	gate, err := middleware.New(list.Guard(router), middleware.Config{Hooks: a.GateHooks(), ClientAddress: from})
	require.NoError(t, err)
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", gate.Require(scope.All("orders:read"))(nothing))
	mux.Handle("POST /orders", gate.Require(scope.All("orders:write"))(nothing))
	api, err := admin.New(admin.Config{List: list, Protect: gate.Require(scope.All("revocation:write"))})
	require.NoError(t, err)
	mux.Handle("/admin/", http.StripPrefix("/admin", api))
	ask := func(method, path, token, address, body string) int {
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("X-Forwarded-For", address)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		time.Sleep(5 * time.Minute) // in the bubble
		return w.Code
	}
	soon := time.Now().Add(2 * time.Hour)
	alice := as.Token(authtest.Claims{Subject: "alice", ClientID: "shop", ID: "7fd1", Scopes: scope.Of("orders:read", "orders:write"), Roles: []string{"clerk", "admin"}, AuthTime: time.Now(), ExpiresAt: soon, Raw: []byte(`{"sid":"s-1"}`)})
	robot := as.Token(authtest.Claims{Subject: "alice", ClientID: "robots", ID: "7fd2", Scopes: scope.Of("orders:write"), ExpiresAt: soon, Actors: []bearergate.Actor{{Subject: "robot"}, {ClientID: "scheduler"}}})
	batch := as.Opaque(authtest.Claims{Subject: "batch", ClientID: "batch", ID: "opaque-1", Scopes: scope.Of("orders:read"), ExpiresAt: soon})
	carol := as.Token(authtest.Claims{Subject: "carol", ClientID: "console", ID: "carol-1", Scopes: scope.Of("revocation:write"), ExpiresAt: soon})

	require.Equal(t, 200, ask("GET", "/orders/7", alice, "198.51.100.7", ""))                                                                  // 00:00
	require.Equal(t, 200, ask("POST", "/orders", robot, "198.51.100.9", ""))                                                                   // 00:05
	require.Equal(t, 200, ask("POST", "/orders", alice, "203.0.113.5", ""))                                                                    // 00:10
	require.Equal(t, 200, ask("GET", "/orders/8", batch, "198.51.100.9", ""))                                                                  // 00:15
	require.Equal(t, 403, ask("POST", "/orders", batch, "198.51.100.9", ""))                                                                   // 00:20
	require.Equal(t, 201, ask("POST", "/admin/revoke", carol, "198.51.100.1", `{"entries":[{"issuer":"`+as.Issuer()+`","subject":"alice"}]}`)) // 00:25
	require.Equal(t, 401, ask("GET", "/orders/9", alice, "203.0.113.5", ""))                                                                   // 00:30
	for range 25 {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/orders/7", nil)
		r.Header.Set("Authorization", "Bearer forged")
		mux.ServeHTTP(httptest.NewRecorder(), r)
	}
	time.Sleep(time.Second)
	require.Equal(t, 401, ask("GET", "/orders/7", "forged", "203.0.113.66", ""))
	return o.records(t, "")
}

// The queries of docs/audit.md find in real records what they say.
func TestQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := traffic(t)
		all := queries(t)
		sum := sha256.Sum256([]byte("opaque-1"))
		wants := map[string][]string{
			"All requests of one token": {
				`{"address":"198.51.100.7","outcome":"accepted","reason":null,"route":"GET /orders/{id}","time":"2000-01-01T00:00:00Z"}`,
				`{"address":"203.0.113.5","outcome":"accepted","reason":null,"route":"POST /orders","time":"2000-01-01T00:10:00Z"}`,
				`{"address":"203.0.113.5","outcome":"refused","reason":"revoked","route":"GET /orders/{id}","time":"2000-01-01T00:30:00Z"}`,
			},
			"All requests of a client since a time": {
				`{"outcome":"accepted","reason":null,"route":"POST /orders","subject":"alice","time":"2000-01-01T00:10:00Z"}`,
				`{"outcome":"refused","reason":"revoked","route":"GET /orders/{id}","subject":null,"time":"2000-01-01T00:30:00Z"}`,
			},
			"Who used a scope first, by client": {
				`{"client":"robots","subject":"alice","time":"2000-01-01T00:05:00Z"}`,
				`{"client":"shop","subject":"alice","time":"2000-01-01T00:10:00Z"}`,
			},
			"Which record belongs to an introspected token": {
				`{"outcome":"accepted","route":"GET /orders/{id}","subject":"batch","time":"2000-01-01T00:15:00Z"}`,
				`{"outcome":"refused","route":"POST /orders","subject":"batch","time":"2000-01-01T00:20:00Z"}`,
			},
			"Which requests belong to one login": {
				`{"jti":"7fd1","outcome":"accepted","route":"GET /orders/{id}","time":"2000-01-01T00:00:00Z"}`,
				`{"jti":"7fd1","outcome":"accepted","route":"POST /orders","time":"2000-01-01T00:10:00Z"}`,
				`{"jti":"7fd1","outcome":"refused","route":"GET /orders/{id}","time":"2000-01-01T00:30:00Z"}`,
			},
			"What a revocation has refused": {
				`{"detail":"revocation: an entry of admin by subject revokes it","jti":"7fd1","route":"GET /orders/{id}","time":"2000-01-01T00:30:00Z"}`,
			},
			"Who has revoked what": {
				`{"asked_by":"carol","change":"added","revoked_by":"subject","source":"admin","subject":"alice","time":"2000-01-01T00:25:00Z"}`,
			},
			"What a key has signed": {
				`{"client":"shop","jti":"7fd1","route":"GET /orders/{id}","subject":"alice","time":"2000-01-01T00:00:00Z"}`,
				`{"client":"robots","jti":"7fd2","route":"POST /orders","subject":"alice","time":"2000-01-01T00:05:00Z"}`,
				`{"client":"shop","jti":"7fd1","route":"POST /orders","subject":"alice","time":"2000-01-01T00:10:00Z"}`,
				`{"client":"console","jti":"carol-1","route":"/admin/","subject":"carol","time":"2000-01-01T00:25:00Z"}`,
			},
			"Who has acted for a user":                {`{"actors":["robot","scheduler"],"route":"POST /orders","time":"2000-01-01T00:05:00Z"}`},
			"What an actor has done":                  {`{"outcome":"accepted","route":"POST /orders","subject":"alice","time":"2000-01-01T00:05:00Z"}`},
			"Tokens that came from several addresses": {`{"addresses":["198.51.100.7","203.0.113.5"],"jti":"7fd1"}`},
			"How many records are missing":            {`{"missing":15,"msg":"access decision"}`, `{"missing":15,"msg":"token introspection"}`},
		}
		for name, q := range all {
			if name == "To ECS" || name == "To OCSF" {
				continue // TestMappings
			}
			require.Contains(t, wants, name)
			if q.args["jti"] == `"$digest"` { // the line before says how the shell computes it
				q.args["jti"] = "sha256:" + hex.EncodeToString(sum[:])[:32]
			}
			if q.args["key"] == `"$thumbprint"` {
				for _, r := range records { // all were signed by one
					if key, ok := r["key"].(string); ok {
						q.args["key"] = key
					}
				}
			}
			// Beside the decision, a verifier has told of the same token: on the level
			// DEBUG, which is not written by default.
			var written []map[string]any
			for _, r := range records {
				if r["level"] != "DEBUG" || name == "How many records are missing" {
					written = append(written, r)
				}
			}
			require.Equal(t, wants[name], q.run(t, written), name)
			delete(wants, name)
		}
		require.Empty(t, wants, "questions that the document no longer asks")
	})
}

// What the document maps to ECS and to OCSF has the members that those ask for.
func TestMappings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := traffic(t)
		all := queries(t)
		mapped := func(name string) []map[string]any {
			var out []map[string]any
			for _, line := range all[name].run(t, records) {
				m := map[string]any{}
				require.NoError(t, json.Unmarshal([]byte(line), &m))
				out = append(out, m)
			}
			require.Len(t, out, 7+10+1, name)
			return out
		}
		ecs := mapped("To ECS")
		require.Equal(t, map[string]any{"ip": "198.51.100.7"}, ecs[0]["source"])
		require.Equal(t, map[string]any{"id": "alice", "roles": []any{"clerk", "admin"}}, ecs[0]["user"])
		event := ecs[0]["event"].(map[string]any)
		delete(event, "duration")
		require.Equal(t, map[string]any{"kind": "event", "category": []any{"api", "authentication"}, "type": []any{"access", "allowed"}, "dataset": sloggate.Schema,
			"action": "access decision", "outcome": "success"}, event)
		require.Equal(t, map[string]any{"request": map[string]any{"method": "POST"}, "response": map[string]any{"status_code": 403.0}}, ecs[4]["http"])
		require.Equal(t, "failure", ecs[4]["event"].(map[string]any)["outcome"])
		require.Equal(t, "scope", ecs[4]["event"].(map[string]any)["reason"])

		ocsf := mapped("To OCSF")
		for _, o := range ocsf { // what API Activity requires
			for _, member := range []string{"activity_id", "category_uid", "class_uid", "type_uid", "time", "severity_id", "metadata", "actor", "api", "src_endpoint"} {
				require.Contains(t, o, member)
			}
		}
		require.EqualValues(t, 600302, ocsf[0]["type_uid"])
		require.EqualValues(t, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), ocsf[0]["time"])
		require.Equal(t, map[string]any{"uid": "s-1", "issuer": "https://as.example.test", "credential_uid": "7fd1"}, ocsf[0]["actor"].(map[string]any)["session"])
		require.EqualValues(t, 2, ocsf[4]["status_id"])
		require.Equal(t, "scope", ocsf[4]["status_code"])
	})
}

// Each member of a decision, and each event, has its row in the document; and the other way round.
func TestTheDocumentIsComplete(t *testing.T) {
	text, err := os.ReadFile(auditDoc)
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "\n## What a record says\n")
	require.True(t, found)
	section, _, _ := strings.Cut(after, "\n## ")
	decision, others, found := strings.Cut(section, "The other events")
	require.True(t, found)
	rows := func(text string) map[string]bool {
		names := map[string]bool{}
		for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(text, -1) {
			for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
				names[name[1]] = true
			}
		}
		return names
	}
	schemaText, err := os.ReadFile(schemaFile)
	require.NoError(t, err)
	type object struct{ Properties map[string]any }
	var document struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(schemaText, &document))
	want := map[string]bool{}
	for _, o := range []object{document.object, document.Defs["decision"], document.Defs["verdict"], document.Defs["token"], document.Defs["refusal"]} {
		for name := range o.Properties {
			want[name] = true
		}
	}
	require.Equal(t, want, rows(decision))
	told := rows(others)
	for _, event := range events(t) {
		if event != string(sloggate.EventDecision) {
			require.True(t, told[event], event)
			delete(told, event)
		}
	}
	require.Equal(t, map[string]bool{"msg": true}, told)
}
