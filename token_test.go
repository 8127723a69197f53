package bearergate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"testing"
	"text/template"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
	"github.com/stretchr/testify/require"
)

// everything is a claim set with something in every field, and its JSON.
func everything() bearergate.Claims {
	return bearergate.Claims{
		Issuer: "https://as.example", Subject: "PII-sub", ClientID: "PII-client", ID: "PII-jti",
		Audience: []string{"PII-aud", "PII-aud2"},
		Scopes:   scope.Of("PII-read", "PII-write"),
		Roles:    []string{"PII-role", "PII-role2"}, Tenant: "PII-tenant", SessionID: "PII-session",
		Key: [32]byte{1}, AsOf: time.Unix(1_000_000_004, 0),
		ExpiresAt: time.Unix(2_000_000_000, 0), IssuedAt: time.Unix(1_000_000_001, 0),
		NotBefore: time.Unix(1_000_000_002, 0), AuthTime: time.Unix(1_000_000_003, 0), ACR: "PII-acr",
		Actors:       []bearergate.Actor{{Subject: "PII-actor", Issuer: "PII-actor-iss", ClientID: "PII-actor-client"}, {Subject: "PII-earlier"}},
		Confirmation: map[string][]byte{"jkt": []byte(`"PII-thumbprint"`), "x5t#S256": []byte(`"PII-x5t"`)},
		Stale:        true, Unquotable: true, Missing: []string{"PII-path"},
		Raw: []byte(`{"sub":"PII-raw","email":"PII@example.com"}`),
	}
}

func TestTokenAccessors(t *testing.T) {
	c := everything()
	require.Zero(t, countZeroFields(c), "everything() lacks a field")
	tok := bearergate.NewToken(c)
	require.Equal(t, c.Issuer, tok.Issuer())
	require.Equal(t, c.Subject, tok.Subject())
	require.Equal(t, c.ClientID, tok.ClientID())
	require.Equal(t, c.ID, tok.ID())
	require.Equal(t, c.Audience, tok.Audience())
	require.True(t, tok.HasAudience("PII-aud2"))
	for _, not := range []string{"", "pii-aud", "PII-au", "PII-aud ", "PII-aud3", "PII-aud/"} {
		require.False(t, tok.HasAudience(not), not)
	}
	require.Equal(t, c.Scopes.Names(), tok.Scopes().Names())
	require.Equal(t, c.Roles, tok.Roles())
	require.True(t, tok.HasRole("PII-role2"))
	for _, not := range []string{"", "pii-role", "PII-rol", "PII-role ", "PII-read"} {
		require.False(t, tok.HasRole(not), not)
	}
	require.Equal(t, "PII-tenant", tok.Tenant())
	require.Equal(t, "PII-session", tok.SessionID())
	require.Equal(t, c.Key, tok.Key())
	require.Equal(t, c.AsOf, tok.AsOf())
	require.Equal(t, c.ExpiresAt, tok.ExpiresAt())
	require.Equal(t, c.IssuedAt, tok.IssuedAt())
	require.Equal(t, c.NotBefore, tok.NotBefore())
	at, ok := tok.AuthTime()
	require.True(t, ok)
	require.Equal(t, c.AuthTime, at)
	require.Equal(t, c.ACR, tok.ACR())
	require.Equal(t, c.Actors, tok.Actor())
	require.True(t, tok.Stale())
	cnf := tok.Confirmation()
	require.True(t, cnf.Bound())
	require.Equal(t, []string{"jkt", "x5t#S256"}, cnf.Members())
	value, ok := cnf.Value("jkt")
	require.True(t, ok)
	require.Equal(t, "PII-thumbprint", value)
}

func countZeroFields(v any) int {
	n := 0
	for _, f := range reflect.ValueOf(v).Fields() {
		if f.IsZero() {
			n++
		}
	}
	return n
}

func TestTokenIsImmutable(t *testing.T) {
	c := everything()
	tok := bearergate.NewToken(c)
	same := func() {
		t.Helper()
		want := everything()
		require.Equal(t, want.Audience, tok.Audience())
		require.Equal(t, want.Roles, tok.Roles())
		require.Equal(t, want.Actors, tok.Actor())
		require.Equal(t, want.Scopes.Names(), tok.Scopes().Names())
		require.Equal(t, []string{"jkt", "x5t#S256"}, tok.Confirmation().Members())
		value, ok := tok.Confirmation().Value("jkt")
		require.True(t, ok)
		require.Equal(t, "PII-thumbprint", value)
		var raw json.RawMessage
		require.NoError(t, tok.Claims(&raw))
		require.Equal(t, string(want.Raw), string(raw))
	}

	// What was passed in.
	c.Audience[0] = "changed"
	c.Roles[0] = "changed"
	c.Actors[0].Subject = "changed"
	c.Confirmation["jkt"][1] = 'X'
	c.Confirmation["new"] = []byte(`"x"`)
	delete(c.Confirmation, "x5t#S256")
	copy(c.Raw, "changed")
	same()

	// What is given out.
	tok.Audience()[0] = "changed"
	_ = append(tok.Audience()[:1], "changed")
	tok.Roles()[0] = "changed"
	tok.Actor()[0].Subject = "changed"
	tok.Confirmation().Members()[0] = "changed"
	tok.Scopes().Names()[0] = "changed"
	same()

	// What a caller's UnmarshalJSON is lent.
	var greedy struct {
		Sub keepsBytes `json:"sub"`
	}
	require.NoError(t, tok.Claims(&greedy))
	require.Equal(t, `"PII-raw"`, string(greedy.Sub.b))
	copy(greedy.Sub.b, "changed")
	var whole keepsBytes
	require.NoError(t, tok.Claims(&whole))
	copy(whole.b, "changed")
	var raw json.RawMessage
	require.NoError(t, tok.Claims(&raw))
	copy(raw, "changed")
	same()
}

// keepsBytes keeps what UnmarshalJSON is given, against the rules.
type keepsBytes struct{ b []byte }

func (k *keepsBytes) UnmarshalJSON(b []byte) error { k.b = b; return nil }

func TestTokenAbsentClaims(t *testing.T) {
	for name, tok := range map[string]*bearergate.Token{
		"nil": nil, "zero": {}, "empty": bearergate.NewToken(bearergate.Claims{}),
	} {
		t.Run(name, func(t *testing.T) {
			require.Empty(t, tok.Issuer())
			require.Empty(t, tok.Subject())
			require.Empty(t, tok.ClientID())
			require.Empty(t, tok.ID())
			require.Empty(t, tok.Audience())
			require.False(t, tok.HasAudience(""))
			require.Zero(t, tok.Scopes().Len())
			require.True(t, tok.ExpiresAt().IsZero())
			require.True(t, tok.IssuedAt().IsZero())
			require.True(t, tok.NotBefore().IsZero())
			at, ok := tok.AuthTime()
			require.False(t, ok)
			require.True(t, at.IsZero())
			require.Empty(t, tok.ACR())
			require.False(t, tok.IsClient())
			require.False(t, tok.Stale())
			require.Empty(t, tok.Actor())
			require.False(t, tok.Confirmation().Bound())
			require.Empty(t, tok.Confirmation().Members())
			_, ok = tok.Confirmation().Value("jkt")
			require.False(t, ok)
			v := map[string]any{"old": 1}
			require.Error(t, tok.Claims(&v))
			require.Nil(t, v)
			require.Error(t, tok.Claims(nil))
			require.NotPanics(t, func() {
				_ = tok.String()
				_ = tok.GoString()
				_ = tok.LogValue()
				_, _ = tok.MarshalJSON()
				_ = fmt.Sprintf("%v %s %q %d %#v %+v", tok, tok, tok, tok, tok, tok)
			})
			if name != "empty" { // no token is authorized for nothing, not even for the zero Requirement
				requireKind(t, tok.Authorize(scope.Requirement{}), bearergate.ErrMissingToken, bearergate.ReasonNoToken)
				requireKind(t, tok.Authorize(scope.All("a")), bearergate.ErrMissingToken, bearergate.ReasonNoToken)
			}
		})
	}
}

func TestTokenPrintsNothingPersonal(t *testing.T) {
	tok := bearergate.NewToken(everything())
	type byPointer struct {
		Tok *bearergate.Token
		tok *bearergate.Token
	}
	type byValue struct {
		Tok bearergate.Token
		tok bearergate.Token
	}
	type embedded struct{ *bearergate.Token }
	values := []any{
		tok, *tok, &tok, []*bearergate.Token{tok}, []bearergate.Token{*tok}, map[string]*bearergate.Token{"k": tok},
		map[string]bearergate.Token{"k": *tok}, byPointer{tok, tok}, &byPointer{tok, tok}, byValue{*tok, *tok},
		&byValue{*tok, *tok}, embedded{tok}, &embedded{tok}, [1]any{tok}, struct{ any }{tok},
	}
	clean := func(where, out string) {
		t.Helper()
		for _, secret := range []string{"PII", "504949", "50 49 49", "80 73 73", "2001-09-09", "631355968"} { // as text, %x, % x, %d; times but exp
			require.NotContains(t, out, secret, where)
		}
	}
	for _, value := range values {
		for verb := byte('A'); verb <= 'z'; verb++ {
			for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "200", ".3", "[1]", "# "} {
				format := "%" + flags + string([]byte{verb})
				clean(format, fmt.Sprintf(format, value))
			}
		}
		clean("Sprint", fmt.Sprint(value))
		clean("Sprintln", fmt.Sprintln(value))
		clean("Errorf", fmt.Errorf("%v", value).Error())
		if out, err := json.Marshal(value); err == nil {
			clean("json", string(out))
		}
		if out, err := xml.Marshal(value); err == nil {
			clean("xml", string(out))
		}
		var b bytes.Buffer
		require.NoError(t, template.Must(template.New("").Parse("{{.}}{{printf `%#v` .}}")).Execute(&b, value))
		clean("template", b.String())

		for _, h := range []func(*bytes.Buffer) slog.Handler{
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			b.Reset()
			slog.New(h(&b)).With("with", value).WithGroup("g").Info("m", "token", value, slog.Group("h", "token", value))
			require.NotEmpty(t, b.String())
			clean("slog", b.String())
		}
	}

	// It does say which token it is.
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%t", "%z"} {
		for _, out := range []string{tok.String(), tok.GoString(), fmt.Sprintf(format, tok), fmt.Sprintf(format, []*bearergate.Token{tok}), fmt.Sprintf(format, struct{ T *bearergate.Token }{tok})} {
			require.Contains(t, out, "https://as.example", format)
			require.Contains(t, out, "2033-05-18T03:33:20Z", format)
		}
	}
	out, err := json.Marshal(tok)
	require.NoError(t, err)
	require.JSONEq(t, `{"issuer":"https://as.example","expires":"2033-05-18T03:33:20Z"}`, string(out))
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "token", tok)
	var line struct{ Token map[string]string }
	require.NoError(t, json.Unmarshal(b.Bytes(), &line))
	require.Equal(t, map[string]string{"issuer": "https://as.example", "expires": "2033-05-18T03:33:20Z"}, line.Token)
	require.Contains(t, bearergate.NewToken(bearergate.Claims{}).String(), "never")
}

// An issuer is text from outside: it cannot forge a second line.
func TestTokenStringQuotes(t *testing.T) {
	tok := bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example\n\x1b[31m2026 ERROR forged\""})
	require.NotContains(t, tok.String(), "\n")
	require.NotContains(t, tok.String(), "\x1b")
}

// Both are false where the token does not say: neither is the negation of the other.
// req: R9068-11, R9700-07
func TestWhetherAUserIsBehindIt(t *testing.T) {
	for _, tc := range []struct {
		name         string
		claims       bearergate.Claims
		client, user bool
	}{
		{name: "nothing"},
		{name: "a subject and a client, and no more", claims: bearergate.Claims{Subject: "alice", ClientID: "web"}},
		{name: "a subject alone", claims: bearergate.Claims{Subject: "alice"}},
		{name: "a client that is its subject", claims: bearergate.Claims{Subject: "web", ClientID: "web"}, client: true},
		{name: "a client as Auth0 writes it", claims: bearergate.Claims{Subject: "web@clients", ClientID: "web"}, client: true},
		{name: "another client as Auth0 writes it", claims: bearergate.Claims{Subject: "app@clients", ClientID: "web"}},
		{name: "a client without subject: a user token of some servers", claims: bearergate.Claims{ClientID: "web"}},
		{name: "another case", claims: bearergate.Claims{Subject: "WEB", ClientID: "web"}},
		{name: "somebody authenticated", claims: bearergate.Claims{Subject: "alice", ClientID: "web", AuthTime: time.Unix(1, 0)}, user: true},
		{name: "a session alone, as Keycloak gives clients too", claims: bearergate.Claims{Subject: "alice", ClientID: "web", SessionID: "s"}},
		{name: "nobody authenticated", claims: bearergate.Claims{ClientID: "web", AuthTime: time.Unix(1, 0)}},
		{name: "a client that authenticated", claims: bearergate.Claims{Subject: "web", ClientID: "web", AuthTime: time.Unix(1, 0)}, client: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token := bearergate.NewToken(tc.claims)
			require.Equal(t, tc.client, token.IsClient())
			require.Equal(t, tc.user, token.IsUser())
		})
	}
}

func TestTokenAuthTime(t *testing.T) {
	_, ok := bearergate.NewToken(bearergate.Claims{}).AuthTime()
	require.False(t, ok)
	epoch := time.Unix(0, 0)
	at, ok := bearergate.NewToken(bearergate.Claims{AuthTime: epoch}).AuthTime()
	require.True(t, ok, "1970 is a time, not the absence of one")
	require.Equal(t, epoch, at)
}

// A Token serves many requests at once (run with -race).
func TestTokenConcurrently(t *testing.T) {
	tok := bearergate.NewToken(everything())
	for range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for range 200 {
				var v map[string]any
				require.NoError(t, tok.Claims(&v))
				require.Equal(t, "PII-raw", v["sub"])
				v["sub"] = "changed"
				slices.Reverse(tok.Audience())
				require.ErrorIs(t, tok.Authorize(scope.All("PII-read")), bearergate.ErrInvalidToken, "it is bound, and nobody proved it")
				_, ok := tok.Confirmation().Value("jkt")
				require.True(t, ok)
				_ = tok.String()
			}
		})
	}
}

func TestTokenWith(t *testing.T) {
	tok := bearergate.NewToken(everything())
	var kept *bearergate.Claims
	changed := tok.With(func(c *bearergate.Claims) {
		want := everything()
		want.Missing = nil // which is said of the Claims that a Map gets
		require.Equal(t, want, *c)
		kept = c
		c.Scopes = scope.Of("less")
		c.Audience[0], c.Actors[0].Subject, c.Raw[0] = "x", "x", '!'
		c.Confirmation["jkt"][0] = '!'
		delete(c.Confirmation, "x5t#S256")
	})
	require.Equal(t, bearergate.NewToken(everything()), tok, "the change reached the original")
	require.Equal(t, []string{"less"}, changed.Scopes().Names())
	require.Equal(t, "x", changed.Audience()[0])
	require.Equal(t, []string{"jkt"}, changed.Confirmation().Members())
	require.Equal(t, tok.Subject(), changed.Subject())
	kept.Subject, kept.Audience[0] = "later", "later"
	require.Equal(t, tok.Subject(), changed.Subject())
	require.Equal(t, "x", changed.Audience()[0])

	never := func(*bearergate.Claims) { t.Error("called for a token that says nothing") }
	var none *bearergate.Token
	require.Nil(t, none.With(never))
	require.Equal(t, &bearergate.Token{}, new(bearergate.Token).With(never))
}

// A refused token is for audit: it opens nothing, wherever somebody puts it.
func TestARefusedTokenIsAuthorizedForNothing(t *testing.T) {
	token := bearergate.NewToken(bearergate.Claims{Issuer: "i", Subject: "alice", Scopes: scope.Of("a")})
	require.NoError(t, token.Authorize(scope.All("a")))
	e := (&bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired}).WithRefused(token)
	refused := e.Refused
	require.Equal(t, "alice", refused.Subject())
	require.NoError(t, token.Authorize(scope.All("a")), "the token itself stays what it is")
	for name, it := range map[string]*bearergate.Token{"it": refused, "a copy": refused.With(func(c *bearergate.Claims) { c.Scopes = scope.Of("a", "b") })} {
		for _, need := range []scope.Requirement{{}, scope.All("a")} {
			require.ErrorIs(t, it.Authorize(need), bearergate.ErrInvalidToken, name)
		}
		require.False(t, it.Proven())
		_, ok := bearergate.FromContext(bearergate.NewContext(bearergate.NewContext(t.Context(), token), it))
		require.False(t, ok, name)
		_, err := bearergate.Verify(t.Context(), bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return it, nil }), "x")
		require.ErrorIs(t, err, bearergate.ErrMisconfigured, name)
	}
	require.Nil(t, e.WithRefused(nil).Refused)
}
