package bearergate_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"strings"
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
		Audience:  []string{"PII-aud", "PII-aud2"},
		Scopes:    scope.Of("PII-read", "PII-write"),
		ExpiresAt: time.Unix(2_000_000_000, 0), IssuedAt: time.Unix(1_000_000_001, 0),
		NotBefore: time.Unix(1_000_000_002, 0), AuthTime: time.Unix(1_000_000_003, 0), ACR: "PII-acr",
		Actors:       []bearergate.Actor{{Subject: "PII-actor", Issuer: "PII-actor-iss", ClientID: "PII-actor-client"}, {Subject: "PII-earlier"}},
		Confirmation: map[string][]byte{"jkt": []byte(`"PII-thumbprint"`), "x5t#S256": []byte(`"PII-x5t"`)},
		Stale:        true,
		Raw:          []byte(`{"sub":"PII-raw","email":"PII@example.com"}`),
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
	c.Actors[0].Subject = "changed"
	c.Confirmation["jkt"][1] = 'X'
	c.Confirmation["new"] = []byte(`"x"`)
	delete(c.Confirmation, "x5t#S256")
	copy(c.Raw, "changed")
	same()

	// What is given out.
	tok.Audience()[0] = "changed"
	_ = append(tok.Audience()[:1], "changed")
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

	// And yet it says which token it is.
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

// req: R9068-11, R9700-07
func TestTokenIsClient(t *testing.T) {
	for _, tc := range []struct {
		name            string
		subject, client string
		want            bool
	}{
		{"nothing", "", "", false},
		{"a user", "alice", "web", false},
		{"a user and no client", "alice", "", false},
		{"a client that is its subject", "web", "web", true},
		{"a client without subject", "", "web", true},
		{"another case", "WEB", "web", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, bearergate.NewToken(bearergate.Claims{Subject: tc.subject, ClientID: tc.client}).IsClient())
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

func TestConfirmation(t *testing.T) {
	for _, tc := range []struct {
		name  string
		cnf   map[string][]byte
		bound bool
		value string
		ok    bool
	}{
		{"absent", nil, false, "", false},
		{"empty", map[string][]byte{}, true, "", false}, // cnf: {} is there, and binds to what nobody can show
		{"another member", map[string][]byte{"kid": []byte(`"x"`)}, true, "", false},
		{"a string", map[string][]byte{"jkt": []byte(`"abc"`)}, true, "abc", true},
		{"escapes", map[string][]byte{"jkt": []byte(`"\u0061\n"`)}, true, "a\n", true},
		{"empty string", map[string][]byte{"jkt": []byte(`""`)}, true, "", true},
		{"object", map[string][]byte{"jkt": []byte(`{"a":"b"}`)}, true, "", false},
		{"number", map[string][]byte{"jkt": []byte(`1`)}, true, "", false},
		{"null", map[string][]byte{"jkt": []byte(`null`)}, true, "", false},
		{"nothing", map[string][]byte{"jkt": nil}, true, "", false},
		// What a custom verifier may pass to NewToken by mistake is no value.
		{"not JSON", map[string][]byte{"jkt": []byte(`abc`)}, true, "", false},
		{"not closed", map[string][]byte{"jkt": []byte(`"abc`)}, true, "", false},
		{"a quote", map[string][]byte{"jkt": []byte(`"`)}, true, "", false},
		{"more after it", map[string][]byte{"jkt": []byte(`"abc" `)}, true, "", false},
		{"two strings", map[string][]byte{"jkt": []byte(`"a""b"`)}, true, "", false},
		{"line end", map[string][]byte{"jkt": []byte("\"a\nb\"")}, true, "", false},
		{"bad UTF-8", map[string][]byte{"jkt": []byte("\"a\xff\"")}, true, "", false},
		{"lone surrogate", map[string][]byte{"jkt": []byte(`"\ud800"`)}, true, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cnf := bearergate.NewToken(bearergate.Claims{Confirmation: tc.cnf}).Confirmation()
			require.Equal(t, tc.bound, cnf.Bound())
			require.Len(t, cnf.Members(), len(tc.cnf))
			value, ok := cnf.Value("jkt")
			require.Equal(t, tc.ok, ok)
			if tc.ok {
				require.Equal(t, tc.value, value)
			} else {
				require.Empty(t, value)
			}
			_, ok = cnf.Value("JKT")
			require.False(t, ok)
		})
	}
}

// attacks: SCP-001, SCP-017
func TestAuthorize(t *testing.T) {
	tok := bearergate.NewToken(bearergate.Claims{Scopes: scope.Of("read", "write", "*")})
	for _, tc := range []struct {
		name   string
		r      scope.Requirement
		scopes []string // nil: authorized
		cause  bool
	}{
		{"nothing required", scope.Requirement{}, nil, false},
		{"one", scope.All("read"), nil, false},
		{"all", scope.All("read", "write"), nil, false},
		{"any", scope.Any("admin", "write"), nil, false},
		{"nested", scope.AllOf(scope.All("read"), scope.Any("admin", "write")), nil, false},
		{"missing one", scope.All("read", "admin"), []string{"read", "admin"}, false},
		{"none of", scope.Any("admin", "root"), []string{"admin", "root"}, false},
		{"another case", scope.All("READ"), []string{"READ"}, false},
		{"a prefix", scope.All("rea"), []string{"rea"}, false},
		{"no wildcard", scope.All("other"), []string{"other"}, false},
		{"no names", scope.All(), []string{}, true},
		{"any of no names", scope.Any(), []string{}, true},
		{"a bad name", scope.All("read", "wr ite"), []string{"read"}, true},
		{"any with a bad name", scope.Any("read", ""), []string{"read"}, true},
		{"nothing combined", scope.AllOf(), []string{}, true},
		{"zeros combined", scope.AllOf(scope.Requirement{}), []string{}, true},
		{"any of zero", scope.AnyOf(scope.Requirement{}, scope.All("read")), []string{"read"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tok.Authorize(tc.r)
			if tc.scopes == nil {
				require.NoError(t, err)
				return
			}
			requireKind(t, err, bearergate.ErrInsufficientScope, bearergate.ReasonScope)
			e := bearergate.AsError(err)
			require.ElementsMatch(t, tc.scopes, e.Scopes)
			require.Equal(t, tc.cause, e.Cause != nil)
			if tc.cause {
				require.ErrorIs(t, err, tc.r.Err())
			}
			for i := range e.Scopes { // the caller's copy
				e.Scopes[i] = "changed"
			}
			require.ElementsMatch(t, tc.scopes, bearergate.AsError(tok.Authorize(tc.r)).Scopes)
		})
	}
	t.Run("no scopes", func(t *testing.T) {
		none := bearergate.NewToken(bearergate.Claims{})
		require.NoError(t, none.Authorize(scope.Requirement{}))
		requireKind(t, none.Authorize(scope.Any("read")), bearergate.ErrInsufficientScope, bearergate.ReasonScope)
	})
}

func claimsOf(raw string) *bearergate.Token {
	return bearergate.NewToken(bearergate.Claims{Raw: []byte(raw)})
}

type base struct {
	Tenant string `json:"tenant"`
	Sub    string `json:"sub"`
}

// req: R7519-01
// attacks: JSN-012, JSN-013
func TestClaimsMatchNamesExactly(t *testing.T) {
	type target struct {
		Sub   string `json:"sub"`
		Admin bool   `json:"admin"`
	}
	for raw, want := range map[string]target{
		`{"sub":"a","admin":true}`:           {"a", true},
		`{"Sub":"a","ADMIN":true}`:           {},
		`{"ſub":"a"}`:                        {}, // U+017F folds to s
		`{"sub":"a","Sub":"b","SUB":"c"}`:    {Sub: "a"},
		`{"Sub":"b","sub":"a"}`:              {Sub: "a"},
		`{"\u0073ub":"a"}`:                   {Sub: "a"},
		`{"sub\u0000":"a"}`:                  {},
		`{"sub ":"a"}`:                       {},
		`{}`:                                 {},
		`{"admin_":true,"unknown":[1,{},2]}`: {},
	} {
		var v target
		require.NoError(t, claimsOf(raw).Claims(&v), raw)
		require.Equal(t, want, v, raw)
	}
	// A field without a tag is named as it is in Go: "email" does not fill Email.
	var untagged struct{ Email string }
	require.NoError(t, claimsOf(`{"email":"a@example.com"}`).Claims(&untagged))
	require.Empty(t, untagged.Email)
	require.NoError(t, claimsOf(`{"Email":"a@example.com"}`).Claims(&untagged))
	require.NotEmpty(t, untagged.Email)
}

func TestClaimsErrorLeavesZero(t *testing.T) {
	type target struct {
		Sub  string            `json:"sub"`
		N    int               `json:"n"`
		List []string          `json:"list"`
		Map  map[string]string `json:"map"`
		Next *target           `json:"next"`
	}
	full := func() target {
		return target{"old", 1, []string{"old"}, map[string]string{"old": "old"}, &target{Sub: "old"}}
	}
	for name, raw := range map[string]string{
		"duplicate":           `{"sub":"a","sub":"b"}`,
		"duplicate, escaped":  `{"sub":"a","\u0073ub":"b"}`,
		"duplicate below":     `{"sub":"a","x":[{"y":1,"y":1}]}`,
		"type":                `{"sub":"a","n":"1"}`,
		"type last":           `{"sub":"a","n":1,"list":[1]}`,
		"fraction for an int": `{"sub":"a","n":1.5}`,
		"overflow":            `{"sub":"a","n":9223372036854775808}`,
		"bad UTF-8":           "{\"sub\":\"a\xff\"}",
		"lone surrogate":      `{"sub":"\ud800"}`,
		"trailing data":       `{"sub":"a"}{}`,
		"trailing NUL":        "{\"sub\":\"a\"}\x00",
		"BOM":                 "\ufeff{\"sub\":\"a\"}",
		"cut off":             `{"sub":"a","n":1`,
		"null":                `null`,
		"array":               `[{"sub":"a"}]`,
		"string":              `"a"`,
		"empty":               ``,
		"white space":         ` `,
	} {
		t.Run(name, func(t *testing.T) {
			v := full()
			require.Error(t, claimsOf(raw).Claims(&v))
			require.Zero(t, v)

			var a any = "old"
			if err := claimsOf(raw).Claims(&a); err != nil {
				require.Nil(t, a)
			}
			m := map[string]any{"old": 1}
			if err := claimsOf(raw).Claims(&m); err != nil {
				require.Nil(t, m)
			}
		})
	}
	t.Run("no claims object", func(t *testing.T) {
		v := full()
		require.Error(t, bearergate.NewToken(bearergate.Claims{Subject: "a"}).Claims(&v))
		require.Zero(t, v)
	})
	t.Run("an UnmarshalJSON that refuses", func(t *testing.T) {
		v := struct {
			Sub string  `json:"sub"`
			N   refuses `json:"n"`
		}{"old", refuses{1}}
		err := claimsOf(`{"sub":"a","n":1}`).Claims(&v)
		require.ErrorIs(t, err, errRefused) // the caller's own error stays reachable
		require.Zero(t, v)
	})
}

var errRefused = errors.New("refused")

type refuses struct{ n int }

func (r *refuses) UnmarshalJSON([]byte) error { r.n = 2; return errRefused }

func TestClaimsTarget(t *testing.T) {
	tok := claimsOf(`{"sub":"a"}`)
	var nilPointer *base
	m := map[string]any{"old": true}
	for name, v := range map[string]any{
		"nil": nil, "nil pointer": nilPointer, "struct": base{}, "map": m, "nil map": map[string]any(nil),
		"func": func() {}, "int": 1, "slice": []byte("x"),
	} {
		require.NotPanics(t, func() { require.Error(t, tok.Claims(v), name) }, name)
	}
	require.Equal(t, map[string]any{"old": true}, m)
	for name, v := range map[string]any{"chan": new(chan int), "func": new(func()), "int": new(int), "slice": new([]string), "string": new(string)} {
		require.Error(t, tok.Claims(v), name)
		require.True(t, reflect.ValueOf(v).Elem().IsZero(), name)
	}

	var p *base
	require.NoError(t, tok.Claims(&p))
	require.Equal(t, &base{Sub: "a"}, p)
	require.NoError(t, tok.Claims(&m))
	// As encoding/json does, members are added to a map that is there already:
	// decode each token into a new value.
	require.Equal(t, map[string]any{"old": true, "sub": "a"}, m)
}

// What users meet who come from encoding/json.
func TestClaimsNumbers(t *testing.T) {
	const big = `{"n":9007199254740993,"max":9223372036854775807,"neg":-9007199254740993,"umax":18446744073709551615,"f":1.50,"e":1e2,"huge":123456789012345678901234567890}`
	tok := claimsOf(big)

	t.Run("integers above 2^53", func(t *testing.T) {
		var v struct {
			N    int64  `json:"n"`
			Max  int64  `json:"max"`
			Neg  int64  `json:"neg"`
			UMax uint64 `json:"umax"`
		}
		require.NoError(t, tok.Claims(&v))
		require.Equal(t, int64(9007199254740993), v.N)
		require.Equal(t, int64(9223372036854775807), v.Max)
		require.Equal(t, int64(-9007199254740993), v.Neg)
		require.Equal(t, uint64(18446744073709551615), v.UMax)
	})
	t.Run("json.Number", func(t *testing.T) {
		var v struct {
			N    json.Number  `json:"n"`
			F    json.Number  `json:"f"`
			E    *json.Number `json:"e"`
			Huge json.Number  `json:"huge"`
		}
		require.NoError(t, tok.Claims(&v))
		require.Equal(t, json.Number("9007199254740993"), v.N)
		require.Equal(t, json.Number("1.50"), v.F)
		require.Equal(t, json.Number("1e2"), *v.E)
		require.Equal(t, json.Number("123456789012345678901234567890"), v.Huge)
		var m map[string]json.Number
		require.NoError(t, tok.Claims(&m))
		require.Equal(t, json.Number("18446744073709551615"), m["umax"])
	})
	t.Run("any is float64", func(t *testing.T) {
		var m map[string]any
		require.NoError(t, tok.Claims(&m))
		require.Equal(t, float64(9007199254740992), m["n"]) // one less than it says
		require.IsType(t, float64(0), m["max"])
		var a any
		require.NoError(t, tok.Claims(&a))
		require.Equal(t, any(m), a)
	})
	t.Run("json.Number of other values, as encoding/json has it", func(t *testing.T) {
		for _, value := range []string{`"1"`, `"-1.5e3"`, `null`, `"abc"`, `"01"`, `"1 "`, `" 1"`, `"0x1"`, `"NaN"`, `"1,2"`, `""`, `true`, `[]`, `{}`, `"\u0031"`} {
			raw := `{"n":` + value + `}`
			var ours, theirs struct{ N json.Number }
			err := claimsOf(strings.Replace(raw, "n", "N", 1)).Claims(&ours)
			wantErr := json.Unmarshal([]byte(strings.Replace(raw, "n", "N", 1)), &theirs)
			require.Equal(t, wantErr == nil, err == nil, "%s: %v, encoding/json %v", value, err, wantErr)
			if err == nil {
				require.Equal(t, theirs, ours, value)
			}
		}
	})
	t.Run("out of range", func(t *testing.T) {
		var v struct {
			N int8 `json:"n"`
		}
		require.Error(t, claimsOf(`{"n":128}`).Claims(&v))
		var u struct {
			N uint `json:"n"`
		}
		require.Error(t, claimsOf(`{"n":-1}`).Claims(&u))
		var f struct {
			N float64 `json:"n"`
		}
		require.Error(t, claimsOf(`{"n":1e400}`).Claims(&f))
		require.Error(t, claimsOf(`{"n":1e400}`).Claims(new(any)))
	})
}

func TestClaimsTags(t *testing.T) {
	type Inner struct {
		Roles []string `json:"roles"`
	}
	type outer struct {
		base          // promoted, although unexported
		*Inner        // allocated
		Sub    string `json:"sub"` // hides base.Sub
		Empty  string `json:"empty,omitempty"`
		Zero   int    `json:"zero,omitzero"`
		Minus  string `json:"-"`
		Realm  struct {
			Roles []string `json:"roles"`
		} `json:"realm_access"`
		URN     string          `json:"https://example.com/claim"`
		Raw     json.RawMessage `json:"raw"`
		When    time.Time       `json:"when"`
		IP      netip.Addr      `json:"ip"`
		Bytes   []byte          `json:"bytes"`
		Any     any             `json:"any"`
		Pointer *string         `json:"pointer"`
	}
	var v outer
	require.NoError(t, claimsOf(`{"tenant":"t","sub":"s","roles":["a"],"empty":"e","zero":0,"-":"no","Minus":"no",
		"realm_access":{"roles":["b","c"],"other":1},"https://example.com/claim":"u","raw":{"b": [1, 2]},
		"when":"2026-01-02T03:04:05.5+01:00","ip":"192.0.2.1","bytes":"aGk=","any":[true,null],"pointer":null}`).Claims(&v))
	require.Equal(t, "t", v.Tenant)
	require.Equal(t, "s", v.Sub)
	require.Empty(t, v.base.Sub)
	require.Equal(t, []string{"a"}, v.Inner.Roles)
	require.Equal(t, "e", v.Empty)
	require.Empty(t, v.Minus)
	require.Equal(t, []string{"b", "c"}, v.Realm.Roles)
	require.Equal(t, "u", v.URN)
	require.Equal(t, `{"b": [1, 2]}`, string(v.Raw))
	require.True(t, v.When.Equal(time.Date(2026, 1, 2, 2, 4, 5, 5e8, time.UTC)))
	require.Equal(t, netip.MustParseAddr("192.0.2.1"), v.IP)
	require.Equal(t, "hi", string(v.Bytes))
	require.Equal(t, []any{true, nil}, v.Any)
	require.Nil(t, v.Pointer)

	t.Run("a date claim is a number, not a time.Time", func(t *testing.T) {
		var v struct {
			Exp time.Time `json:"exp"`
		}
		require.Error(t, claimsOf(`{"exp":2000000000}`).Claims(&v))
		require.Zero(t, v)
	})
	t.Run("null sets zero, where encoding/json leaves what was there", func(t *testing.T) {
		v := base{Tenant: "old", Sub: "old"}
		require.NoError(t, claimsOf(`{"tenant":null}`).Claims(&v))
		require.Equal(t, base{Sub: "old"}, v)
	})
}

// The error may be logged, so the values of claims are not in it.
func TestClaimsErrorHoldsNoValue(t *testing.T) {
	const secret = "31415926535"
	for name, tc := range map[string]struct {
		raw string
		v   any
	}{
		"int": {`{"n":"` + secret + `"}`, &struct {
			N int `json:"n"`
		}{}},
		"int, string": {`{"n":"` + secret + `x"}`, &struct {
			N int `json:"n,string"`
		}{}},
		"overflow": {`{"n":` + secret + `}`, &struct {
			N int8 `json:"n"`
		}{}},
		"float overflow": {`{"n":` + secret + `e999}`, &struct {
			N float64 `json:"n"`
		}{}},
		"fraction": {`{"n":` + secret + `.5}`, &struct {
			N int `json:"n"`
		}{}},
		"string": {`{"n":` + secret + `}`, &struct {
			N string `json:"n"`
		}{}},
		"time": {`{"n":"` + secret + `"}`, &struct {
			N time.Time `json:"n"`
		}{}},
		"bytes": {`{"n":"` + secret + `!"}`, &struct {
			N []byte `json:"n"`
		}{}},
		"json.Number": {`{"n":"` + secret + `x"}`, &struct {
			N json.Number `json:"n"`
		}{}},
		"map key":       {`{"` + secret + `x":1}`, &map[int]int{}},
		"duplicate":     {`{"` + secret + `":1,"` + secret + `":2}`, &map[string]int{}},
		"syntax":        {`{"n":` + secret + `x}`, &map[string]any{}},
		"bad UTF-8":     {"{\"n\":\"" + secret + "\xff\"}", &map[string]any{}},
		"trailing data": {`{"n":1} ` + secret, &map[string]any{}},
		"not an object": {`"` + secret + `"`, &map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			err := claimsOf(tc.raw).Claims(tc.v)
			require.Error(t, err)
			if name != "map key" { // a name says where
				require.NotContains(t, err.Error(), secret)
			}
		})
	}
	var v struct {
		Org struct {
			Level int8 `json:"level"`
		} `json:"org"`
	}
	err := claimsOf(`{"org":{"level":"x"}}`).Claims(&v)
	require.ErrorContains(t, err, "/org/level") // where to look
	require.ErrorContains(t, err, "int8")
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
				require.NoError(t, tok.Authorize(scope.All("PII-read")))
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
		require.Equal(t, everything(), *c)
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
