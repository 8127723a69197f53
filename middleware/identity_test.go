package middleware_test

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

var identityHeaders = map[string]func(*bearergate.Token) string{
	"x-auth-subject": (*bearergate.Token).Subject,
	"X-Auth-Client":  (*bearergate.Token).ClientID,
	"X-Auth-Scopes":  func(token *bearergate.Token) string { return token.Scopes().String() },
}

// seen returns a handler that keeps the header of its request.
func seen(kept *http.Header) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { *kept = r.Header })
}

func TestDropAuthorization(t *testing.T) {
	for _, drop := range []bool{true, false} {
		gate := newGate(t, accepts(reader), middleware.Config{DropAuthorization: drop})
		rt := gate.NewRouter()
		var got http.Header
		rt.Handle("/required", scope.All("read"), seen(&got))
		rt.Optional("/optional", scope.Requirement{}, seen(&got))
		rt.Public("/public", seen(&got))
		h := built(t, rt)
		for path, credentials := range map[string]string{"/required": "Bearer " + good, "/optional": "Basic dTpw", "/public": "Bearer x"} {
			r := httptest.NewRequest("GET", path, nil)
			r.Header.Set("Authorization", credentials)
			r.Header.Set("Accept", "a")
			r.Header["Connection"] = []string{"a,b", "c"} // which is looked at for Identity alone
			before := r.Header.Clone()
			h.ServeHTTP(httptest.NewRecorder(), r)
			want := before.Clone()
			if drop {
				want.Del("Authorization")
			}
			require.Equal(t, want, got, path)
			require.Equal(t, before, r.Header, "the caller's request was changed")
			got.Set("Accept", "changed")
			got.Add("Accept", "more")
			if drop {
				require.Equal(t, before, r.Header)
			}
		}
	}
}

func TestIdentity(t *testing.T) {
	claims := bearergate.Claims{Subject: "u1", ClientID: "", Scopes: scope.Of("read", "write")}
	gate := newGate(t, accepts(claims), middleware.Config{Identity: identityHeaders})
	rt := gate.NewRouter()
	var got http.Header
	rt.Handle("/required", scope.All("read"), seen(&got))
	rt.Optional("/optional", scope.Requirement{}, seen(&got))
	rt.Public("/public", seen(&got))
	h := built(t, rt)

	spoofed := []string{"X-Auth-Subject", "x-auth-subject", "X_AUTH_SUBJECT", "X-Auth_Subject", "X_auth-subject", "x.auth.subject", "X!Auth~Subject", "X_Auth_Client", "X-AUTH-SCOPES", "X_Auth_Scopes",
		"X`Auth{Subject", "X@Auth[Subject", "X/Auth:Subject"} // the neighbors of letters and digits
	kept := []string{"X-Auth", "X-Auth-Subject-2", "Xx-Auth-Subject", "X-Auth-Subjec", "X1auth-Subject", "X-Auth-Subjecu", "X-Auth-Sub-Ect", "Authorization-X",
		"XaAuth-Subject", "XzAuth-Subject", "XAAuth-Subject", "XZAuth-Subject", "X0Auth-Subject", "X9Auth-Subject"}
	for path, token := range map[string]string{"/required": good, "/optional": "", "/public": good} {
		r := httptest.NewRequest("POST", path, nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		for _, name := range spoofed {
			r.Header[name] = []string{"admin", "root"}
		}
		for _, name := range kept {
			r.Header[name] = []string{"kept"}
		}
		r.Header["Connection"] = []string{"keep-alive, X-Auth-Subject", "x_auth_client, ,,Upgrade"}
		r.Trailer = http.Header{"X-Auth-Subject": {"admin"}}
		before := r.Clone(context.Background())
		h.ServeHTTP(httptest.NewRecorder(), r)
		require.Equal(t, before.Header, r.Header, "the caller's request was changed")
		require.Equal(t, before.Trailer, r.Trailer)

		want := http.Header{"Connection": {"keep-alive, Upgrade"}}
		if token != "" {
			want.Set("Authorization", "Bearer "+token)
		}
		for _, name := range kept {
			want[name] = []string{"kept"}
		}
		if path == "/required" {
			want["X-Auth-Subject"], want["X-Auth-Scopes"] = []string{"u1"}, []string{"read write"}
		}
		require.Equal(t, want, got, path)
	}

	r := bearer("GET", good)
	r.URL.Path = "/required"
	r.Header["Connection"] = []string{"X-Auth-Subject"}
	h.ServeHTTP(httptest.NewRecorder(), r)
	require.NotContains(t, got, "Connection", "nothing is left of it")
}

// Over a socket: what names net/http lets through, and trailers.
func TestIdentityOverASocket(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{Identity: identityHeaders, DropAuthorization: true})
	server := httptest.NewServer(gate.Require(scope.All("read"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := bufio.NewReader(r.Body).ReadString(0)
		assert.Error(t, err) // to its end, after which come the trailers
		assert.Empty(t, r.Trailer)
		assert.Equal(t, []string{"u1"}, r.Header.Values("X-Auth-Subject"))
		for name, values := range r.Header {
			assert.NotContains(t, strings.Join(values, ""), "admin", name)
		}
		w.WriteHeader(204)
	})))
	defer server.Close()
	for _, name := range []string{"X-Auth-Subject", "x-auth-subject", "X_Auth_Subject", "x.auth_subject", "X'Auth`Subject"} {
		res, _ := send(t, server, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close, X-Auth-Subject\r\nTransfer-Encoding: chunked\r\nTrailer: X-Auth-Subject, Other\r\nAuthorization: Bearer "+good+"\r\n"+
			name+": admin\r\n"+name+": admin\r\n\r\n1\r\na\r\n0\r\nX-Auth-Subject: admin\r\nX_Auth_Client: admin\r\nOther: admin\r\n\r\n")
		require.Equal(t, 204, res.StatusCode, name)
	}
}

// A request that somebody put together may have no header at all.
func TestIdentityOfARequestWithoutAHeader(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{Identity: identityHeaders, Extract: func(*http.Request) (bearergate.Credentials, error) { return sent(good), nil }})
	var got http.Header
	gate.Require(scope.All("read"))(seen(&got)).ServeHTTP(httptest.NewRecorder(), &http.Request{Method: "GET"})
	require.Equal(t, http.Header{"X-Auth-Subject": {"u1"}, "X-Auth-Scopes": {"read"}}, got)
}

func TestIdentityValues(t *testing.T) {
	var value string
	gate := newGate(t, accepts(reader), middleware.Config{Identity: map[string]func(*bearergate.Token) string{"X-Value": func(*bearergate.Token) string { return value }}})
	var got http.Header
	h := gate.Require(scope.All("read"))(seen(&got))
	for in, want := range map[string]string{
		"u1": "u1", "a b": "a b", " a ": "%20a%20", "a\r\nX-Admin: 1": "a%0D%0AX-Admin: 1", "\x00": "%00", "ä": "%C3%A4", "100%": "100%25", "a,b": "a%2Cb",
		"!~": "!~", `a"b\c`: "a%22b%5Cc", "\t": "%09", "\x7f": "%7F", "\xff": "%FF", "https://as.example.com/?a=b&c#d": "https://as.example.com/?a=b&c#d", " ": "%20",
	} {
		value = in
		h.ServeHTTP(httptest.NewRecorder(), bearer("GET", good))
		require.Equal(t, []string{want}, got["X-Value"])
	}
	value = ""
	r := bearer("GET", good)
	r.Header.Set("X-Value", "spoofed")
	h.ServeHTTP(httptest.NewRecorder(), r)
	require.NotContains(t, got, "X-Value")
}

func FuzzIdentityValue(f *testing.F) {
	for _, s := range []string{"", "a", " a", "a\r\nb: c", "ä%20", "%", ",", "\xff\x00"} {
		f.Add(s, "X_Value")
	}
	f.Fuzz(func(t *testing.T, value, name string) {
		gate := newGate(t, accepts(bearergate.Claims{Subject: value}), middleware.Config{Identity: map[string]func(*bearergate.Token) string{"X-Value": (*bearergate.Token).Subject}})
		var got http.Header
		r := bearer("GET", good)
		r.Header[name] = []string{"spoofed"}
		gate.Require(scope.Requirement{})(seen(&got)).ServeHTTP(httptest.NewRecorder(), r)
		if name == "Authorization" {
			return
		}
		// What CGI makes of a name.
		cgi := func(s string) string {
			return strings.Map(func(c rune) rune {
				if c >= 'a' && c <= 'z' {
					return c - 'a' + 'A'
				}
				if c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
					return c
				}
				return '_'
			}, s)
		}
		if _, ok := got[name]; ok && cgi(name) == "X_VALUE" && name != "X-Value" {
			t.Fatalf("%q reads as X-Value", name)
		}
		values := got["X-Value"]
		if value == "" {
			require.Empty(t, values)
			return
		}
		require.Len(t, values, 1)
		require.Equal(t, strings.TrimSpace(values[0]), values[0])
		for _, c := range []byte(values[0]) {
			require.True(t, c >= ' ' && c < 0x7f && c != ',' && c != '"', "%q", values[0])
		}
		back, err := url.PathUnescape(values[0])
		require.NoError(t, err)
		require.Equal(t, value, back)
	})
}

func TestIdentityThatPanics(t *testing.T) {
	events := &log{}
	gate := newGate(t, accepts(reader), middleware.Config{Hooks: events.hooks(), Identity: map[string]func(*bearergate.Token) string{
		"X-A": func(*bearergate.Token) string { return "a" }, "X-B": func(*bearergate.Token) string { panic("s3cret") },
	}})
	w := httptest.NewRecorder()
	gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
	require.Equal(t, 500, w.Code)
	require.NotContains(t, w.Body.String(), "s3cret")
	requireError(t, events.only(t).Err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
	// It is not asked where nothing is passed on, and not about those who are refused.
	_, _, err := gate.Check(bearer("GET", good), scope.All("read"))
	require.NoError(t, err)
	refused(t, gate, bearer("GET", good), scope.All("write"), bearergate.ErrInsufficientScope, bearergate.ReasonScope)
	w = httptest.NewRecorder()
	gate.Require(scope.All("write"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
	require.Equal(t, 403, w.Code)
}

func TestIdentityInAReport(t *testing.T) {
	var got http.Header
	gate := newGate(t, accepts(reader), middleware.Config{Identity: identityHeaders, InsecureReportOnly: true})
	for token, want := range map[string][]string{good: {"u1"}, "bad": nil} {
		r := bearer("GET", token)
		r.Header.Set("X-Auth-Subject", "admin")
		gate.Require(scope.All("write"))(seen(&got)).ServeHTTP(httptest.NewRecorder(), r)
		require.Equal(t, want, got.Values("X-Auth-Subject"))
	}
	// One that cannot say who it is says nothing, and passes as nobody.
	gate = newGate(t, accepts(reader), middleware.Config{InsecureReportOnly: true, Identity: map[string]func(*bearergate.Token) string{"X-A": func(*bearergate.Token) string { panic(errors.New("x")) }}})
	w := httptest.NewRecorder()
	gate.Require(scope.All("read"))(whoami(t)).ServeHTTP(w, bearer("GET", good))
	require.Equal(t, "nobody", w.Body.String())
	// Where a verifier refuses without a token, there is nobody to tell of.
	events := &log{}
	gate = newGate(t, refuses(bearergate.ErrForbidden, bearergate.ReasonPolicy), middleware.Config{InsecureReportOnly: true, Hooks: events.hooks(), Identity: map[string]func(*bearergate.Token) string{"X-A": func(*bearergate.Token) string { panic("asked") }}})
	w = httptest.NewRecorder()
	gate.Require(scope.All("read"))(whoami(t)).ServeHTTP(w, bearer("GET", good))
	require.Equal(t, "nobody", w.Body.String())
	requireError(t, events.only(t).Err, bearergate.ErrForbidden, bearergate.ReasonPolicy)
}

func TestIdentityMistakes(t *testing.T) {
	subject := (*bearergate.Token).Subject
	for name, headers := range map[string]map[string]func(*bearergate.Token) string{
		"empty":         {"": subject},
		"underscore":    {"X_Auth_Subject": subject},
		"space":         {"X Auth": subject},
		"line feed":     {"X-A\r\nB": subject},
		"beyond ASCII":  {"X-\u00e4": subject},
		"dashes only":   {"-": subject},
		"dash at end":   {"X-Auth-": subject},
		"twice":         {"X-Auth": subject, "x-auth": subject},
		"nil":           {"X-Auth": nil},
		"Authorization": {"authorization": subject},
		"Host":          {"Host": subject},
		"Connection":    {"Connection": subject},
		"length":        {"Content-Length": subject},
		"Cookie":        {"cookie": subject},
	} {
		gate, err := middleware.New(accepts(reader), middleware.Config{Identity: headers})
		require.Nil(t, gate, name)
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, "Config.Identity")
	}
	_, err := middleware.New(nil, middleware.Config{Realm: "\"", Resource: "x", Identity: map[string]func(*bearergate.Token) string{"a_b": subject, "Host": nil}})
	for _, s := range []string{"verifier", "Config.Realm", "Config.Resource", "a_b", "Host"} {
		require.ErrorContains(t, err, s, "all at once")
	}
	// In one order, whatever that of the map is.
	many := map[string]func(*bearergate.Token) string{}
	for _, name := range []string{"a_1", "a_2", "a_3", "a_4", "a_5", "a_6", "a_7", "a_8"} {
		many[name] = subject
	}
	_, err = middleware.New(accepts(reader), middleware.Config{Identity: many})
	require.True(t, slices.IsSorted(strings.Split(strings.TrimPrefix(bearergate.AsError(err).Cause.Error(), "middleware: "), "\n")), "%v", err)
	// A copy is taken.
	headers := map[string]func(*bearergate.Token) string{"X-Auth": subject}
	gate := newGate(t, accepts(reader), middleware.Config{Identity: headers})
	delete(headers, "X-Auth")
	var got http.Header
	gate.Require(scope.All("read"))(seen(&got)).ServeHTTP(httptest.NewRecorder(), bearer("GET", good))
	require.Equal(t, "u1", got.Get("X-Auth"))
	newGate(t, accepts(reader), middleware.Config{Identity: map[string]func(*bearergate.Token) string{}})
}
