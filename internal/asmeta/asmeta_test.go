package asmeta_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate/internal/asmeta"
	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

// req: R8414-02
func TestURLs(t *testing.T) {
	for issuer, want := range map[string][2]string{
		"https://h":                    {"https://h/.well-known/oauth-authorization-server", "https://h/.well-known/openid-configuration"},
		"https://h/":                   {"https://h/.well-known/oauth-authorization-server", "https://h/.well-known/openid-configuration"},
		"https://h/tenant1":            {"https://h/.well-known/oauth-authorization-server/tenant1", "https://h/tenant1/.well-known/openid-configuration"},
		"https://h/tenant1/":           {"https://h/.well-known/oauth-authorization-server/tenant1", "https://h/tenant1/.well-known/openid-configuration"},
		"https://h:8443/a/b":           {"https://h:8443/.well-known/oauth-authorization-server/a/b", "https://h:8443/a/b/.well-known/openid-configuration"},
		"https://h/a%2Fb":              {"https://h/.well-known/oauth-authorization-server/a%2Fb", "https://h/a%2Fb/.well-known/openid-configuration"},
		"https://[2001:db8::1]/a/../b": {"https://[2001:db8::1]/.well-known/oauth-authorization-server/a/../b", "https://[2001:db8::1]/a/../b/.well-known/openid-configuration"},
		"http://localhost:8080/r/x":    {"http://localhost:8080/.well-known/oauth-authorization-server/r/x", "http://localhost:8080/r/x/.well-known/openid-configuration"},
		"%":                            {},
	} {
		require.Equal(t, want, asmeta.URLs(issuer), issuer)
	}
}

func TestParse(t *testing.T) {
	doc, err := asmeta.Parse([]byte(`{"issuer":"https:\/\/h","jwks_uri":"https://h/k","introspection_endpoint":"https://h/i","x":{"issuer":1}}`))
	require.NoError(t, err)
	require.Equal(t, asmeta.Document{Issuer: "https://h", JWKSURI: "https://h/k", IntrospectionEndpoint: "https://h/i"}, doc)
	for _, bad := range []string{
		"", " ", "null", "[]", "17", `"x"`, "{", "{}", `{"issuer":""}`, `{"issuer":null}`, `{"issuer":17}`, `{"issuer":["https://h"]}`,
		`{"issuer":"a","issuer":"a"}`, `{"issuer":"a","x":{"y":1,"y":2}}`, `{"Issuer":"a"}`, `{"issuer":"a"} {}`, "\ufeff{\"issuer\":\"a\"}",
		`{"issuer":"a","jwks_uri":null,"jwks_uri":null}`,
		"{\"issuer\":\"\xff\"}", `{"issuer":"\ud800"}`, `{"issuer":"a",}`,
	} {
		doc, err := asmeta.Parse([]byte(bad))
		require.Error(t, err, bad)
		require.Zero(t, doc)
	}
	// What a member is that nobody needs is nobody's business; what is no string is not there.
	for _, odd := range []string{`null`, `17`, `true`, `{}`, `[]`, `["https://h/x"]`, `{"a":{"b":null}}`} {
		for _, tt := range []struct {
			name string
			want asmeta.Document
		}{
			{"introspection_endpoint", asmeta.Document{Issuer: "https://h", JWKSURI: "https://h/k"}},
			{"jwks_uri", asmeta.Document{Issuer: "https://h", IntrospectionEndpoint: "https://h/i"}},
			{"token_endpoint", asmeta.Document{Issuer: "https://h", JWKSURI: "https://h/k", IntrospectionEndpoint: "https://h/i"}},
		} {
			members := map[string]string{"issuer": `"https://h"`, "jwks_uri": `"https://h/k"`, "introspection_endpoint": `"https://h/i"`}
			members[tt.name] = odd
			var text []string
			for name, value := range members {
				text = append(text, `"`+name+`":`+value)
			}
			doc, err := asmeta.Parse([]byte("{" + strings.Join(text, ",") + "}"))
			require.NoError(t, err, "%s %s", tt.name, odd)
			require.Equal(t, tt.want, doc)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://h","jwks_uri":"https://h/k","introspection_endpoint":"https://h/i"}`))
	f.Add([]byte(`{"issuer":"a","issuer":"b"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, err := asmeta.Parse(body)
		if err != nil {
			if doc != (asmeta.Document{}) {
				t.Error("a value beside an error")
			}
			return
		}
		if doc.Issuer == "" {
			t.Error("no issuer")
		}
		if fetch.CheckIssuer(doc.Issuer, false) == nil {
			for _, u := range asmeta.URLs(doc.Issuer) {
				if fetch.CheckURL(u, false) != nil && len(u) <= fetch.MaxURLBytes {
					t.Errorf("%q leads to %q", doc.Issuer, u)
				}
			}
		}
	})
}

// req: R8414-07
func TestCheckEndpoint(t *testing.T) {
	for _, tc := range []struct {
		endpoint, issuer string
		insecure, ok     bool
	}{
		{"https://h/k", "https://h", false, true},
		{"https://cdn.example/k?v=1", "https://h", false, true},
		{"http://h/k", "https://h", false, false},
		{"http://localhost/k", "https://h", false, false},
		{"http://localhost/k", "https://localhost", false, false},
		{"http://localhost/k", "http://localhost", false, true},
		{"http://[::1]/k", "http://127.0.0.1:1", false, true},
		{"http://h/k", "http://localhost", false, false},
		{"http://h/k", "https://h", true, true},
		{"", "https://h", true, false},
		{"/k", "https://h", true, false},
		{"https://u@h/k", "https://h", true, false},
		{"https://h/k#", "https://h", true, false},
		{"file:///k", "https://h", true, false},
	} {
		require.Equal(t, tc.ok, asmeta.CheckEndpoint(tc.endpoint, tc.issuer, tc.insecure) == nil, "%+v", tc)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// server answers each of the two URLs of https://h; an empty body hangs.
func server(asked *[]string, rfc, oidc string) *fetch.Client {
	return fetch.NewClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		*asked = append(*asked, r.URL.Path)
		body := oidc
		if strings.HasSuffix(r.URL.Path, "oauth-authorization-server") {
			body = rfc
		}
		if body == "" {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		status := 200
		if body == "404" {
			status = 404
		}
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
	})})
}

// req: R8414-02, R8414-04
func TestFetch(t *testing.T) {
	const good, other = `{"issuer":"https://h","jwks_uri":"https://h/k"}`, `{"issuer":"https://h/","jwks_uri":"https://h/k"}`
	const rfcPath, oidcPath = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
	bubble.Test(t, func(t *testing.T) {
		for _, tc := range []struct {
			rfc, oidc string
			first     int
			asked     []string
			which     int
			outcome   fetch.Outcome
		}{
			{good, good, 0, []string{rfcPath}, 0, ""},
			{good, good, 1, []string{oidcPath}, 1, ""},
			{"404", good, 0, []string{rfcPath, oidcPath}, 1, ""},
			{good, "404", 1, []string{oidcPath, rfcPath}, 0, ""},
			{other, good, 0, []string{rfcPath, oidcPath}, 1, ""},
			{"{", good, 0, []string{rfcPath, oidcPath}, 1, ""},
			{"", good, 0, []string{rfcPath, oidcPath}, 1, ""},
			{other, "404", 0, []string{rfcPath, oidcPath}, 0, fetch.Issuer},
			{"404", other, 0, []string{rfcPath, oidcPath}, 0, fetch.Issuer},
			{"404", "404", 0, []string{rfcPath, oidcPath}, 0, fetch.Status},
			{"", "", 0, []string{rfcPath, oidcPath}, 0, fetch.Timeout},
			{"{", "404", 0, []string{rfcPath, oidcPath}, 0, fetch.Malformed},
			{`{"issuer":"https://h"}`, "404", 0, []string{rfcPath, oidcPath}, 0, fetch.JWKSURI},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			start := time.Now()
			var asked []string
			doc, which, err := asmeta.Fetch(ctx, server(&asked, tc.rfc, tc.oidc), asmeta.Request{
				Issuer: "https://h", First: tc.first,
				Check: func(d asmeta.Document) error {
					if d.JWKSURI == "" {
						return errors.New("is missing")
					}
					return nil
				},
			})
			require.NoError(t, ctx.Err(), "something is left for what comes after")
			require.Less(t, time.Since(start), 4*time.Second)
			cancel()
			require.Equal(t, tc.asked, asked)
			if tc.outcome == "" {
				require.NoError(t, err)
				require.Equal(t, tc.which, which)
				require.Equal(t, "https://h/k", doc.JWKSURI)
				continue
			}
			var e *fetch.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tc.outcome, e.Outcome)
			require.Zero(t, doc)
		}
	})
}

// What is wrong with the metadata says what to change: of Issuer, mostly.
func TestFetchSays(t *testing.T) {
	const rfcURL, oidcURL = "https://h/.well-known/oauth-authorization-server", "https://h/.well-known/openid-configuration"
	for _, tt := range []struct{ name, rfc, oidc, says string }{
		{"neither", "404", "404", "fetch: " + oidcURL + ": status: status 404: nothing is there: check the URL; " + rfcURL + ": the same; both are made from Issuer, so check that first"},
		{"another issuer", "404", `{"issuer":"https://other.example"}`, "fetch: " + oidcURL + `: issuer: the document is of the issuer "https://other.example", and "https://h" is configured: set Issuer to the one that tokens name; ` + rfcURL + ": status 404"},
		{"a slash", `{"issuer":"https://h/"}`, "404", `the document is of the issuer "https://h/", and "https://h" is configured: the two differ only by a slash at the end: add it to Issuer; ` + oidcURL + ": status 404"},
		{"http", `{"issuer":"http://h"}`, "404", "the two differ only by https and http: have the authorization server name itself with https"},
		{"no metadata", "404", "{}", "fetch: " + oidcURL + ": malformed: the document names no issuer: it is no metadata of an authorization server as it stands; " + rfcURL + ": status 404; both are made from Issuer, so check that first"},
		{"a number", "404", `{"issuer":17}`, "issuer is not a string"},
		{"null", "404", `{"issuer":null}`, "the document names no issuer"},
		{"two ways to fail", `{"issuer":"https://h/"}`, "{", "fetch: " + oidcURL + ": malformed: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked []string
			_, _, err := asmeta.Fetch(t.Context(), server(&asked, tt.rfc, tt.oidc), asmeta.Request{Issuer: "https://h"})
			require.ErrorContains(t, err, tt.says)
			var e *fetch.Error
			require.ErrorAs(t, err, &e)
			require.Contains(t, err.Error(), e.Detail())
		})
	}
}
