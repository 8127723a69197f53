package accept_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

var (
	fields = accept.Fields{Required: []string{"iss", "aud", "exp", "iat"}, Scopes: []string{"scope", "scp"}, Extra: []string{"active"}}
	reader = accept.NewReader(fields)
	rules  = accept.Rules{
		Issuer: "https://as.example.test", Audiences: []string{"api", "api2"}, Required: fields.Required,
		Confirmations: []string{"jkt"}, MaxLife: time.Hour, Leeway: 5 * time.Second,
	}
)

// good is a valid set of claims.
func good() map[string]any {
	return map[string]any{"iss": "https://as.example.test", "aud": "api", "exp": 2000, "iat": 1000, "sub": "somebody", "scope": "read write"}
}

func read(t *testing.T, f accept.Fields, claims map[string]any) (r accept.Reading) {
	t.Helper()
	data, err := json.Marshal(claims)
	require.NoError(t, err)
	require.NoError(t, accept.NewReader(f).Read(data, &r))
	return r
}

// absent takes a claim out.
type absent struct{}

func with(name string, value any) func(map[string]any) {
	return func(c map[string]any) {
		if c[name] = value; value == (absent{}) {
			delete(c, name)
		}
	}
}

// Every rule, as good claims plus one mutation.
func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name     string
		change   func(map[string]any)
		loosen   func(*accept.Rules)
		explicit bool
		reason   bearergate.Reason // "": accepted
	}{
		{name: "good"},
		{name: "an alias", change: with("iss", "https://alias.example.test"), loosen: func(r *accept.Rules) { r.Aliases = []string{"https://a.example.test", "https://alias.example.test"} }},
		{name: "another issuer", change: with("iss", "https://other.example.test"), reason: bearergate.ReasonIssuer},
		{name: "an issuer that differs by a slash", change: with("iss", "https://as.example.test/"), reason: bearergate.ReasonIssuer},
		{name: "an issuer in other case", change: with("iss", "https://AS.example.test"), reason: bearergate.ReasonIssuer},
		{name: "an issuer that goes on", change: with("iss", "https://as.example.test.attacker.example"), reason: bearergate.ReasonIssuer},
		{name: "an issuer that is cut", change: with("iss", "https://as.example.tes"), reason: bearergate.ReasonIssuer},
		{name: "an alias in other case", change: with("iss", "https://Alias.example.test"), loosen: func(r *accept.Rules) { r.Aliases = []string{"https://alias.example.test"} }, reason: bearergate.ReasonIssuer},
		{name: "no issuer", change: with("iss", absent{}), reason: bearergate.ReasonMissingClaim},
		{name: "an empty issuer", change: with("iss", ""), reason: bearergate.ReasonMissingClaim},
		{name: "no issuer, not required", change: with("iss", absent{}), loosen: func(r *accept.Rules) { r.Required = nil }, reason: bearergate.ReasonIssuer},
		{name: "no issuer, implied", change: with("iss", absent{}), loosen: func(r *accept.Rules) { r.Required, r.IssuerImplied = nil, true }},
		{name: "no issuer, named by the keys", change: with("iss", absent{}), loosen: func(r *accept.Rules) { r.KeysNameIssuer = true }},
		{name: "a null issuer, named by the keys", change: with("iss", nil), loosen: func(r *accept.Rules) { r.KeysNameIssuer = true }},
		{name: "an empty issuer, named by the keys", change: with("iss", ""), loosen: func(r *accept.Rules) { r.KeysNameIssuer = true }, reason: bearergate.ReasonMissingClaim},
		{name: "another issuer, named by the keys", change: with("iss", "x"), loosen: func(r *accept.Rules) { r.KeysNameIssuer = true }, reason: bearergate.ReasonIssuer},
		{name: "no issuer, named by the keys, and no rule has one", change: with("iss", absent{}), loosen: func(r *accept.Rules) { r.KeysNameIssuer, r.Issuer = true, "" }, reason: bearergate.ReasonIssuer},
		{name: "no issuer and no exp, named by the keys", change: func(c map[string]any) { delete(c, "iss"); delete(c, "exp") }, loosen: func(r *accept.Rules) { r.KeysNameIssuer = true }, reason: bearergate.ReasonMissingClaim},
		{name: "an empty issuer, implied", change: with("iss", ""), loosen: func(r *accept.Rules) { r.Required, r.IssuerImplied = nil, true }, reason: bearergate.ReasonIssuer},
		{name: "another issuer, implied", change: with("iss", "x"), loosen: func(r *accept.Rules) { r.Required, r.IssuerImplied = nil, true }, reason: bearergate.ReasonIssuer},
		{name: "an issuer that is no string", change: with("iss", 1), reason: bearergate.ReasonMalformed},

		{name: "the second audience", change: with("aud", []string{"x", "api2"})},
		{name: "another audience", change: with("aud", "x"), reason: bearergate.ReasonAudience},
		{name: "an audience that ours is a part of", change: with("aud", "api3"), reason: bearergate.ReasonAudience},
		{name: "an audience that is a part of ours", change: with("aud", "ap"), reason: bearergate.ReasonAudience},
		{name: "two audiences in one string", change: with("aud", "x api"), reason: bearergate.ReasonAudience},
		{name: "no audience of several", change: with("aud", []string{"x", "API"}), reason: bearergate.ReasonAudience},
		{name: "no audience", change: with("aud", absent{}), reason: bearergate.ReasonMissingClaim},
		{name: "an empty audience", change: with("aud", []string{}), reason: bearergate.ReasonMissingClaim},
		{name: "no audience, not required", change: with("aud", absent{}), loosen: func(r *accept.Rules) { r.Required = nil }, reason: bearergate.ReasonMissingClaim},
		{name: "an empty audience, not required", change: with("aud", []string{}), loosen: func(r *accept.Rules) { r.Required = nil }, reason: bearergate.ReasonMissingClaim},
		{name: "no audience, allowed", change: with("aud", absent{}), loosen: func(r *accept.Rules) { r.Required, r.MissingAudience = nil, true }},
		{name: "another audience, a missing one allowed", change: with("aud", "x"), loosen: func(r *accept.Rules) { r.MissingAudience = true }, reason: bearergate.ReasonAudience},
		{name: "an audience of nobody, a missing one allowed", change: with("aud", []string{}), loosen: func(r *accept.Rules) { r.Required, r.MissingAudience = nil, true }},
		{name: "an empty name, a missing one allowed", change: with("aud", ""), loosen: func(r *accept.Rules) { r.Required, r.MissingAudience = nil, true }, reason: bearergate.ReasonMissingClaim},
		{name: "a list of an empty name, a missing one allowed", change: with("aud", []string{""}), loosen: func(r *accept.Rules) { r.Required, r.MissingAudience = nil, true }, reason: bearergate.ReasonAudience},
		{name: "another audience, any allowed", change: with("aud", "x"), loosen: func(r *accept.Rules) { r.AnyAudience = true }},
		{name: "an audience that is no string, any allowed", change: with("aud", []any{"x", 1}), loosen: func(r *accept.Rules) { r.AnyAudience = true }, reason: bearergate.ReasonMalformed},

		{name: "no exp", change: with("exp", absent{}), reason: bearergate.ReasonMissingClaim},
		{name: "a null exp", change: with("exp", nil), reason: bearergate.ReasonMissingClaim},
		{name: "no iat", change: with("iat", absent{}), reason: bearergate.ReasonMissingClaim},
		{name: "the longest life", change: with("exp", 1000+3600)},
		{name: "a second longer", change: with("exp", 1000+3601), reason: bearergate.ReasonPolicy},
		{name: "hardly any life", loosen: func(r *accept.Rules) { r.MaxLife = 1 }, reason: bearergate.ReasonPolicy},
		{name: "any life", change: with("exp", 1000+3601), loosen: func(r *accept.Rules) { r.MaxLife = 0 }},

		{name: "an ID token", change: with("at_hash", "x"), reason: bearergate.ReasonType},
		{name: "a mark, and an explicit type", change: with("at_hash", "x"), explicit: true},
		{name: "an ID token of another issuer", change: func(c map[string]any) { c["at_hash"], c["iss"] = "x", "x" }, reason: bearergate.ReasonIssuer},
		{name: "a mark that is allowed", change: with("at_hash", "x"), loosen: func(r *accept.Rules) { r.Marks = []string{"at_hash"} }},
		{name: "another mark than is allowed", change: with("at_hash", "x"), loosen: func(r *accept.Rules) { r.Marks = []string{"nonce"} }, reason: bearergate.ReasonType},
		{name: "another use", change: with("token_use", "id"), reason: bearergate.ReasonType},

		{name: "bound as somebody confirms", change: with("cnf", map[string]any{"jkt": "x"})},
		{name: "bound as nobody confirms", change: with("cnf", map[string]any{"x5t#S256": "x"}), reason: bearergate.ReasonBinding},
		{name: "bound twice, once as nobody confirms", change: with("cnf", map[string]any{"jkt": "x", "kid": "x"}), reason: bearergate.ReasonBinding},
		{name: "nobody confirms anything", change: with("cnf", map[string]any{"jkt": "x"}), loosen: func(r *accept.Rules) { r.Confirmations = nil }, reason: bearergate.ReasonBinding},
		{name: "an empty cnf", change: with("cnf", map[string]any{}), reason: bearergate.ReasonMalformed},
		{name: "a null in cnf", change: with("cnf", map[string]any{"jkt": "x", "kid": nil}), reason: bearergate.ReasonMalformed},
		{name: "malformed before everything else", change: func(c map[string]any) { c["cnf"], c["iss"], c["aud"] = "x", "x", "x" }, reason: bearergate.ReasonMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims, r := good(), rules
			if tt.change != nil {
				tt.change(claims)
			}
			if tt.loosen != nil {
				tt.loosen(&r)
			}
			reading := read(t, fields, claims)
			err := r.Judge(&reading, tt.explicit)
			require.Equal(t, tt.reason, bearergate.ReasonOf(err), "%v", err)
			require.Equal(t, tt.reason != "", errors.Is(err, bearergate.ErrInvalidToken))
			if err == nil && r.KeysNameIssuer {
				require.Equal(t, r.Issuer, reading.Claims.Issuer, "of whom it is, is known")
			}
		})
	}
	t.Run("zero rules accept nothing", func(t *testing.T) {
		for _, claims := range []map[string]any{good(), {}, {"aud": []string{}}, {"iss": ""}} {
			reading := read(t, fields, claims)
			require.Error(t, new(accept.Rules).Judge(&reading, true))
			require.Error(t, (&accept.Rules{IssuerImplied: true, AnyAudience: true}).Judge(&reading, true), "without Issuer")
		}
	})
}

// Which check was the last.
func TestJudgeSaysWhere(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(map[string]any)
		loosen func(*accept.Rules)
		at     accept.Step
	}{
		{name: "malformed", change: with("sub", 1), at: accept.StepClaims},
		{name: "another issuer", change: with("iss", "x"), at: accept.StepIssuer},
		{name: "no issuer, not required", change: with("iss", absent{}), loosen: func(r *accept.Rules) { r.Required = nil }, at: accept.StepIssuer},
		{name: "another kind", change: with("at_hash", "x"), at: accept.StepKind},
		{name: "no exp", change: with("exp", absent{}), at: accept.StepRequired},
		{name: "another audience", change: with("aud", "x"), at: accept.StepAudience},
		{name: "a long life", change: with("exp", 99_999), at: accept.StepLifetime},
		{name: "bound", change: with("cnf", map[string]any{"x": "y"}), at: accept.StepBinding},
		{name: "good", change: func(map[string]any) {}, at: accept.StepBinding},
	} {
		claims, r := good(), rules
		tt.change(claims)
		if tt.loosen != nil {
			tt.loosen(&r)
		}
		reading := read(t, fields, claims)
		_ = r.Judge(&reading, false)
		require.Equal(t, tt.at, reading.At, tt.name)
	}
}

// A claim that stands in for aud, where that does not occur.
func TestStandIns(t *testing.T) {
	two := fields
	two.StandIns = []string{"client_id", "azp"}
	ours := [][]string{{"app"}, {"x", "y"}}
	for _, tt := range []struct {
		name   string
		change func(map[string]any)
		ours   [][]string
		reason bearergate.Reason
	}{
		{name: "the first claim", change: with("client_id", "app")},
		{name: "the second claim, its second value", change: with("azp", "y")},
		{name: "a list", change: with("azp", []string{"z", "x"})},
		{name: "just one is looked at", change: with("client_id", "app"), ours: ours[:1]},
		{name: "none is there", change: with("x", 1), reason: bearergate.ReasonMissingClaim},
		{name: "another value", change: with("azp", "z"), reason: bearergate.ReasonMissingClaim},
		{name: "the value of the other claim", change: with("azp", "app"), reason: bearergate.ReasonMissingClaim},
		{name: "a number", change: with("azp", 7), reason: bearergate.ReasonMissingClaim},
		{name: "a list with a number", change: with("azp", []any{"x", 7}), reason: bearergate.ReasonMissingClaim},
		{name: "aud is null", change: func(c map[string]any) { c["azp"], c["aud"] = "x", nil }, reason: bearergate.ReasonMissingClaim},
		{name: "aud is another", change: func(c map[string]any) { c["azp"], c["aud"] = "x", "z" }, reason: bearergate.ReasonAudience},
		{name: "aud is ours", change: with("aud", "api")},
		{name: "another claim is missing", change: func(c map[string]any) { c["azp"] = "x"; delete(c, "exp") }, reason: bearergate.ReasonMissingClaim},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims, r := good(), rules
			delete(claims, "aud")
			tt.change(claims)
			if r.StandIns = ours; tt.ours != nil {
				r.StandIns = tt.ours
			}
			reading := read(t, two, claims)
			require.Equal(t, tt.reason, bearergate.ReasonOf(r.Judge(&reading, false)))
			require.Equal(t, claims["aud"] == "api" || claims["aud"] == "z", reading.Claims.Audience != nil, "nothing takes its place")
		})
	}
}

// iss, of claims that nobody vouches for.
func TestCheckOrigin(t *testing.T) {
	for _, tt := range []struct {
		name, claims string
		named        bool // the keys name the issuer
		issuer       string
		reason       bearergate.Reason
		expected     string
		found        string
	}{
		{name: "ours", claims: `{"iss":"https://as.example.test"}`, issuer: "https://as.example.test"},
		{name: "an alias", claims: `{"iss":"b"}`, issuer: "b"},
		{name: "another", claims: `{"iss":"c"}`, reason: bearergate.ReasonIssuer, expected: `"https://as.example.test" "a" "b"`, found: `"c"`},
		{name: "another, and the keys name it", claims: `{"iss":"c"}`, named: true, reason: bearergate.ReasonIssuer, expected: `"https://as.example.test" "a" "b"`, found: `"c"`},
		{name: "none", claims: `{}`, reason: bearergate.ReasonMissingClaim, expected: `"https://as.example.test"`},
		{name: "none, and the keys name it", claims: `{}`, named: true, issuer: "https://as.example.test"},
		{name: "no claims", claims: `x`, reason: bearergate.ReasonMalformed},
		{name: "no claims, and the keys name it", claims: `x`, named: true, reason: bearergate.ReasonMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rules
			r.Aliases, r.KeysNameIssuer = []string{"a", "b"}, tt.named
			issuer, err := r.CheckOrigin(jose.JWS{Payload: []byte(tt.claims)})
			require.Equal(t, tt.issuer, issuer)
			if tt.reason == "" {
				require.NoError(t, err)
				return
			}
			kit.RequireError(t, err, bearergate.ErrInvalidToken, tt.reason)
			e := bearergate.AsError(err)
			require.Equal(t, tt.expected, e.Expected)
			require.Equal(t, tt.found, e.Found)
			require.Equal(t, tt.reason != bearergate.ReasonMalformed, e.Unsigned)
		})
	}
}

// Who was refused is known, but for a token of another issuer.
func TestRefused(t *testing.T) {
	token := bearergate.NewToken(bearergate.Claims{Subject: "s"})
	e := bearergate.AsError(accept.Refused(accept.Invalid(bearergate.ReasonExpired, "x"), token))
	require.Equal(t, bearergate.ReasonExpired, e.Reason)
	require.Equal(t, "s", e.Refused.Subject())
	e = bearergate.AsError(accept.Refused(accept.Invalid(bearergate.ReasonIssuer, "x"), token))
	require.Equal(t, bearergate.ReasonIssuer, e.Reason)
	require.Nil(t, e.Refused)
}

func TestLifetime(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	for _, tt := range []struct {
		name   string
		claims bearergate.Claims
		want   time.Duration
	}{
		{name: "from iat", claims: bearergate.Claims{IssuedAt: at(10), AsOf: at(20), ExpiresAt: at(70)}, want: time.Minute},
		{name: "from when it was vouched for", claims: bearergate.Claims{AsOf: at(20), ExpiresAt: at(80)}, want: time.Minute},
		{name: "from nobody knows when", claims: bearergate.Claims{ExpiresAt: at(80)}},
		{name: "for ever", claims: bearergate.Claims{IssuedAt: at(10)}},
		{name: "less than nothing", claims: bearergate.Claims{IssuedAt: at(10), ExpiresAt: at(5)}},
	} {
		require.Equal(t, tt.want, accept.Lifetime(bearergate.NewToken(tt.claims)), tt.name)
	}
}

func TestCheckTimes(t *testing.T) {
	at := func(seconds float64) time.Time { return time.UnixMilli(int64(seconds * 1000)) }
	var none time.Time
	for _, tt := range []struct {
		name               string
		now, exp, nbf, iat time.Time
		optional           bool
		reason             bearergate.Reason
	}{
		{name: "good", now: at(1500), exp: at(2000), nbf: at(1000), iat: at(1000)},
		{name: "no nbf and no iat", now: at(1500), exp: at(2000)},
		{name: "a moment before exp and the leeway", now: at(2004.999), exp: at(2000)},
		{name: "at exp and the leeway", now: at(2005), exp: at(2000), reason: bearergate.ReasonExpired},
		{name: "no exp", now: at(1500), exp: none, reason: bearergate.ReasonExpired},
		{name: "no exp, which is optional", now: at(1500), exp: none, optional: true},
		{name: "expired, and exp is optional", now: at(2005), exp: at(2000), optional: true, reason: bearergate.ReasonExpired},
		{name: "nbf within the leeway", now: at(995), exp: at(2000), nbf: at(1000)},
		{name: "nbf beyond the leeway", now: at(994.999), exp: at(2000), nbf: at(1000), reason: bearergate.ReasonNotYetValid},
		{name: "iat within the leeway", now: at(995), exp: at(2000), iat: at(1000)},
		{name: "iat beyond the leeway", now: at(994.999), exp: at(2000), iat: at(1000), reason: bearergate.ReasonNotYetValid},
		{name: "both too early and too late", now: at(3000), exp: at(2000), nbf: at(4000), reason: bearergate.ReasonExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rules
			r.ExpiryOptional = tt.optional
			err := r.CheckTimes(tt.now, tt.exp, tt.nbf, tt.iat)
			require.Equal(t, tt.reason, bearergate.ReasonOf(err), "%v", err)
			if tt.exp != none {
				from, until := r.Window(tt.exp, tt.nbf, tt.iat)
				require.Equal(t, err == nil, !tt.now.Before(from) && tt.now.Before(until), "the window says the same")
			}
		})
	}
}

// What each claim may be, and what stands in the Claims then.
func TestRead(t *testing.T) {
	set := func(change func(*bearergate.Claims)) bearergate.Claims {
		var c bearergate.Claims
		change(&c)
		return c
	}
	for _, tt := range []struct {
		name, json string
		want       bearergate.Claims
		wrong      string
	}{
		{name: "nothing", json: `{}`},
		{name: "a claim nobody knows", json: `{"x":[{}],"Iss":1,"SCOPE":1}`},
		{name: "names in full", json: `{"iss":"i","sub":"s","client_id":"c","jti":"j","acr":"a"}`,
			want: bearergate.Claims{Issuer: "i", Subject: "s", ClientID: "c", ID: "j", ACR: "a"}},
		{name: "an escaped name", json: `{"\u0069ss":"i"}`, want: bearergate.Claims{Issuer: "i"}},
		{name: "sub null", json: `{"sub":null}`},
		{name: "sub a number", json: `{"sub":1}`, wrong: "sub"},
		{name: "null is absent", json: `{"iss":null,"client_id":null,"jti":null,"acr":null,"aud":null,"exp":null,"nbf":null,"scope":null,"act":null,"auth_time":null}`, want: bearergate.Claims{Scopes: scope.Of()}},
		{name: "client_id an array", json: `{"client_id":["c"]}`, wrong: "client_id"},
		{name: "jti a number", json: `{"jti":1}`, wrong: "jti"},
		{name: "acr a number is none", json: `{"acr":1}`},
		{name: "acr an array is none", json: `{"acr":["a"]}`},
		{name: "the first that is wrong, and scope", json: `{"jti":1,"scope":1}`, wrong: "jti"},
		{name: "the first that is wrong", json: `{"jti":1,"iat":"x"}`, wrong: "jti"},

		{name: "aud a string", json: `{"aud":"a b"}`, want: bearergate.Claims{Audience: []string{"a b"}}},
		{name: "aud an array", json: `{"aud":["a","b"]}`, want: bearergate.Claims{Audience: []string{"a", "b"}}},
		{name: "aud empty", json: `{"aud":[]}`, want: bearergate.Claims{Audience: []string{}}},
		{name: "aud with a number", json: `{"aud":["a",1]}`, wrong: "aud"},
		{name: "aud an object", json: `{"aud":{"a":1}}`, wrong: "aud"},

		{name: "times", json: `{"exp":1,"nbf":2.5,"iat":3,"auth_time":4}`, want: bearergate.Claims{
			ExpiresAt: time.Unix(1, 0).UTC(), NotBefore: time.Unix(2, 5e8).UTC(), IssuedAt: time.Unix(3, 0).UTC(), AuthTime: time.Unix(4, 0).UTC()}},
		{name: "exp a string", json: `{"exp":"1"}`, wrong: "exp"},
		{name: "nbf negative", json: `{"nbf":-1}`, wrong: "nbf"},
		{name: "iat too large", json: `{"iat":1e300}`, wrong: "iat"},
		{name: "auth_time of RFC 3339", json: `{"auth_time":"2017-02-13T08:27:46.918Z"}`, want: bearergate.Claims{AuthTime: time.Date(2017, 2, 13, 8, 27, 46, 918e6, time.UTC)}},
		{name: "auth_time that is no time is none", json: `{"auth_time":"yesterday"}`},
		{name: "auth_time of a local time is none", json: `{"auth_time":"2017-02-13T08:27:46"}`},
		{name: "auth_time an object is none", json: `{"auth_time":{}}`},
		{name: "auth_time negative is none", json: `{"auth_time":-1}`},

		{name: "scope a string", json: `{"scope":"a b"}`, want: set(func(c *bearergate.Claims) { c.Scopes = scope.Of("a", "b") })},
		{name: "scope with doubled spaces and a tab", json: `{"scope":" a  b\tc"}`, want: set(func(c *bearergate.Claims) { c.Scopes = scope.Of("a") })},
		{name: "scope an array", json: `{"scope":["a b","c"]}`, want: set(func(c *bearergate.Claims) { c.Scopes = scope.Of("c") })},
		{name: "scp in place of scope", json: `{"scp":["a"]}`, want: set(func(c *bearergate.Claims) { c.Scopes = scope.Of("a") })},
		{name: "the first of both, whatever their order", json: `{"scp":["a"],"scope":"b"}`, want: set(func(c *bearergate.Claims) { c.Scopes = scope.Of("b") })},
		{name: "scope null, and scp", json: `{"scope":null,"scp":"a"}`, want: set(func(c *bearergate.Claims) { c.Scopes = scope.Of("a") })},
		{name: "scope with a null", json: `{"scope":[null]}`, wrong: "scope"},
		{name: "scope true", json: `{"scope":true}`, wrong: "scope"},

		{name: "roles", json: `{"roles":["a","b c"]}`, want: bearergate.Claims{Roles: []string{"a", "b c"}}},
		{name: "roles, just one", json: `{"roles":"a"}`, want: bearergate.Claims{Roles: []string{"a"}}},
		{name: "roles of another shape", json: `{"roles":[{"value":"a"}]}`, want: bearergate.Claims{Roles: []string{}}},
		{name: "roles null", json: `{"roles":null}`},

		{name: "cnf", json: `{"cnf":{"x5t#S256":"x","jwk":{"kty":"EC"}}}`,
			want: bearergate.Claims{Confirmation: map[string][]byte{"x5t#S256": []byte(`"x"`), "jwk": []byte(`{"kty":"EC"}`)}}},
		{name: "cnf empty", json: `{"cnf":{}}`, wrong: "cnf"},
		{name: "cnf null", json: `{"cnf":null}`, wrong: "cnf"},
		{name: "cnf a string", json: `{"cnf":"x"}`, wrong: "cnf"},
		{name: "cnf an array", json: `{"cnf":[]}`, wrong: "cnf"},
		{name: "jkt empty", json: `{"cnf":{"jkt":""}}`, wrong: "cnf"},
		{name: "jkt a number", json: `{"cnf":{"jkt":1}}`, wrong: "cnf"},
		{name: "jkt null beside another", json: `{"cnf":{"jkt":null,"x5t#S256":"x"}}`, wrong: "cnf"},
		{name: "kid a number", json: `{"cnf":{"kid":1}}`, wrong: "cnf"},
		{name: "x5t#S256 a number", json: `{"cnf":{"x5t#S256":1}}`, wrong: "cnf"},
		{name: "kid an array", json: `{"cnf":{"kid":[]}}`, wrong: "cnf"},
		{name: "x5t#S256 an object", json: `{"cnf":{"x5t#S256":{}}}`, wrong: "cnf"},
		{name: "an unknown member empty", json: `{"cnf":{"jkt":"x","other":""}}`, wrong: "cnf"},

		{name: "act", json: `{"act":{"sub":"a","act":{"iss":"i","client_id":"c","act":{}}}}`,
			want: bearergate.Claims{Actors: []bearergate.Actor{{Subject: "a"}, {Issuer: "i", ClientID: "c"}, {}}}},
		{name: "act of 16", json: `{"act":` + chain(16) + `}`, want: bearergate.Claims{Actors: make([]bearergate.Actor, 16)}},
		{name: "act of 17", json: `{"act":` + chain(17) + `}`, wrong: "act"},
		{name: "act a string", json: `{"act":"a"}`, wrong: "act"},
		{name: "act.sub a number", json: `{"act":{"sub":1}}`, wrong: "act"},
		{name: "act.act null", json: `{"act":{"act":null}}`, wrong: "act"},
		{name: "act.act.iss an array", json: `{"act":{"act":{"iss":[]}}}`, wrong: "act"},

		{name: "a kind that is no string tells nothing", json: `{"typ":1,"token_use":[],"type":{},"tokenName":true}`},

		{name: "azp", json: `{"azp":"c"}`, want: bearergate.Claims{ClientID: "c"}},
		{name: "cid, and appid", json: `{"appid":"b","cid":"a"}`, want: bearergate.Claims{ClientID: "a"}},
		{name: "client_id before all others", json: `{"azp":"b","client_id":"a"}`, want: bearergate.Claims{ClientID: "a"}},
		{name: "an empty client_id, and azp", json: `{"client_id":"","azp":"b"}`, want: bearergate.Claims{ClientID: "b"}},
		{name: "sid", json: `{"sid":"s"}`, want: bearergate.Claims{SessionID: "s"}},
		{name: "sid a number is none", json: `{"sid":7}`},
		{name: "sid an array is none", json: `{"sid":["s"]}`},
		{name: "a client of another type is none", json: `{"azp":7,"appid":"b"}`, want: bearergate.Claims{ClientID: "b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r accept.Reading
			require.NoError(t, reader.Read([]byte(tt.json), &r))
			require.Equal(t, tt.wrong, r.Wrong)
			if tt.wrong == "" {
				tt.want.Raw = []byte(tt.json)
				require.Equal(t, tt.want, r.Claims)
			}
		})
	}
	t.Run("a scope must be a string", func(t *testing.T) {
		r := read(t, accept.Fields{Scopes: []string{"scope"}, ScopeString: true}, map[string]any{"scope": []string{"a"}})
		require.Equal(t, "scope", r.Wrong)
		r = read(t, accept.Fields{Scopes: []string{"scope"}, ScopeString: true}, map[string]any{"scope": "a"})
		require.Empty(t, r.Wrong)
		require.Equal(t, []string{"a"}, r.Claims.Scopes.Names())
	})
	t.Run("ignored", func(t *testing.T) {
		r := read(t, accept.Fields{Ignored: []string{"act"}}, map[string]any{"act": 1, "sub": "s"})
		require.Empty(t, r.Wrong)
		require.Equal(t, "s", r.Claims.Subject)
	})
	t.Run("clients", func(t *testing.T) {
		r := read(t, accept.Fields{Clients: []string{"app", "azp"}}, map[string]any{"client_id": "a", "azp": "b"})
		require.Equal(t, "b", r.Claims.ClientID)
	})
	t.Run("only", func(t *testing.T) {
		only := accept.Fields{Required: []string{"iss"}, Extra: []string{"active"}, Only: []string{"iss", "aud"}}
		r := read(t, only, map[string]any{"iss": "i", "aud": "a", "sub": 1, "cnf": true, "exp": "x", "active": 7})
		require.Empty(t, r.Wrong)
		require.Equal(t, "i", r.Claims.Issuer)
		require.Equal(t, []string{"a"}, r.Claims.Audience)
		require.Nil(t, r.Claims.Confirmation)
		require.Equal(t, "7", string(r.Extra[0]))
	})
	t.Run("extra", func(t *testing.T) {
		require.Equal(t, `true`, string(read(t, fields, map[string]any{"active": true}).Extra[0]))
		require.Nil(t, read(t, fields, good()).Extra[0])
		r := read(t, accept.Fields{Extra: []string{"jti", "sub"}}, map[string]any{"jti": 1, "sub": 2})
		require.Empty(t, r.Wrong, "they are not read otherwise")
		require.Equal(t, "1", string(r.Extra[0]))
		require.Equal(t, "2", string(r.Extra[1]))
	})
	for _, text := range []string{``, `null`, `[]`, `{"a":1,"a":2}`, `{"a":{"b":1,"b":2}}`, `{} {}`, "\xef\xbb\xbf{}", "{\"a\":\"\xff\"}", `{"a":"\ud800"}`} {
		require.ErrorIs(t, reader.Read([]byte(text), new(accept.Reading)), accept.ErrNotAnObject, text)
	}
}

// A Reading that is lent says nothing of what was read into it before.
func TestReadingsAreCleared(t *testing.T) {
	claims := []byte(`{"iss":"a","sub":"b","aud":"c","exp":1,"scope":"d","client_id":"e","typ":"f","cnf":{"jkt":"g"},"x":1,"own":2}`)
	reader := accept.NewReader(accept.Fields{Required: []string{"sub"}, Scopes: []string{"scope"}, StandIns: []string{"own"}, Extra: []string{"x"}})
	again := false
	for range 100 {
		r := accept.BorrowReading()
		require.Equal(t, &accept.Reading{}, r)
		require.NoError(t, reader.Read(claims, r))
		require.Equal(t, "e", r.Claims.ClientID)
		accept.GiveBackReading(r)
		next := accept.BorrowReading()
		again = again || next == r // the pool may forget: more often still with the race detector
		accept.GiveBackReading(next)
	}
	require.True(t, again, "no Reading is ever used again")
}

// What a configuration can have.
func TestBounds(t *testing.T) {
	require.Equal(t, []int{64, 8, 2, 8, 4}, []int{accept.MaxRequired, accept.MaxScopeClaims, accept.MaxExtra, accept.MaxClients, accept.MaxStandIns})
}

func chain(n int) string { return strings.Repeat(`{"act":`, n-1) + `{}` + strings.Repeat(`}`, n-1) }

// The marks by which a token shows that it is of another kind.
func TestKind(t *testing.T) {
	for text, other := range map[string]bool{
		`{}`: false, `{"typ":"Bearer","nonce":"x"}`: false, `{"token_use":"access"}`: false, `{"typ":"other"}`: false,
		`{"nonce":null}`: false, `{"at_hash":null}`: false, `{"typ":"DPoP","nonce":"x"}`: false, `{"token_use":"Access"}`: false, `{"tokenType":"access-token"}`: false, `{"code":"x"}`: false,
		`{"code":"x","state":"y"}`: true, `{"tokenType":"refresh-token"}`: true, `{"tokenName":"refresh_token"}`: true, `{"token_type":"refresh"}`: true, `{"type":"RefreshToken"}`: true, `{"typ":"id_token"}`: true,
		`{"nonce":"x"}`: true, `{"c_hash":1}`: true, `{"s_hash":1}`: true, `{"events":{}}`: true,
		`{"token_introspection":{}}`: true, `{"typ":"ID"}`: true, `{"typ":"refresh"}`: true, `{"typ":"OFFLINE"}`: true, `{"typ":"Logout"}`: true,
		`{"typ":"urn:ietf:params:oauth:token-type:refresh_token"}`: true, `{"typ":"urn:ietf:params:oauth:token-type:id_token"}`: true, `{"token_type":"urn:ietf:params:oauth:token-type:access_token"}`: false,
		`{"typ":"Serialized-ID"}`: true, `{"typ":"rt"}`: true, `{"type":"refresh:token/v1"}`: true, `{"typ":"application/id+jwt"}`: true, `{"type":"id:token/v1"}`: true, `{"typ":"application/logout+jwt"}`: true,
		`{"typ":"secevent+jwt"}`: true, `{"type":"rt:v1"}`: true, `{"type":"refreshable-access"}`: false, `{"token_use":"application/at+jwt"}`: false, `{"type":"urn:example:refresh"}`: true, `{"token_use":"urn:example:other"}`: true, `{"typ":"offline_access"}`: true, `{"type":"user"}`: false,
		`{"token_use":"id"}`: true, `{"token_use":""}`: true, `{"typ":"id token"}`: true, `{"typ":"id.token"}`: true, `{"type":"id~x"}`: false,
		`{"typ":"Bearer","c_hash":1}`: true, `{"typ":"jwt"}`: false, `{"token_use":"jwt"}`: true,
	} {
		claims := good()
		var more map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &more))
		maps.Copy(claims, more)
		reading := read(t, fields, claims)
		want := bearergate.Reason("")
		if other {
			want = bearergate.ReasonType
		}
		require.Equal(t, want, bearergate.ReasonOf(rules.Judge(&reading, false)), text)
		require.NoError(t, rules.Judge(&reading, true), text)
	}
}

// source is a key source that answers as it is told, and counts.
type source struct {
	keys, later []jwks.Key
	err, lateE  error
	leaves      bool // the caller, while newer keys are looked for
	leave       context.CancelFunc
	asked       []string
	issuers     []string // whose tokens newer keys are looked for
}

func (s *source) Keys(_ context.Context, kid, alg string) ([]jwks.Key, error) {
	s.asked = append(s.asked, "keys "+kid+" "+alg)
	return s.keys, s.err
}

type rotating struct{ *source }

func (s rotating) KeysAfterMiss(_ context.Context, m jwks.Miss) ([]jwks.Key, error) {
	s.asked = append(s.asked, fmt.Sprintf("newer %s %s %s%s %t", m.KeyID, m.Algorithm, m.X5TS256, m.X5T, m.Tried))
	s.issuers = append(s.issuers, m.Issuer)
	if s.leaves {
		s.leave()
	}
	return s.later, s.lateE
}

func TestSigner(t *testing.T) {
	mine, other := newKey(t, "k"), newKey(t, "k")
	unnamed, unnamedOther := newKey(t, ""), newKey(t, "")
	theirs := newKey(t, "another")
	a, b := thumbprintOf("a"), thumbprintOf("b") // of certificates
	inA, inB, saysA := unnamed.of(t, "x5t", a), unnamedOther.of(t, "x5t", b), unnamed.says("x5t", a)
	ours, foreign := mine.of(t, "issuer", issuer), mine.of(t, "issuer", "https://other.example.test")
	foreigners := make([]key, 5)
	for i := range foreigners {
		foreigners[i] = newKey(t, "").of(t, "issuer", "https://other.example.test")
	}
	outage := &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded}
	for _, tt := range []struct {
		name     string
		signed   key
		source   source
		rotating bool
		want     error
		reason   bearergate.Reason
		asked    []string
	}{
		{name: "the key", signed: mine, source: source{keys: keys(mine)}, asked: []string{"keys k ES256"}},
		{name: "the second of one kid", signed: mine, source: source{keys: keys(other, mine)}},
		{name: "the fourth", signed: mine, source: source{keys: keys(other, other, other, mine)}},
		{name: "the fifth is not tried", signed: mine, source: source{keys: keys(other, other, other, other, mine)}, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature},
		{name: "no key", signed: mine, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonUnknownKey},
		{name: "another key", signed: mine, source: source{keys: keys(other)}, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature, asked: []string{"keys k ES256"}},
		{name: "another key, and nothing newer", signed: mine, source: source{keys: keys(other), later: keys(other)}, rotating: true, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature, asked: []string{"keys k ES256", "newer k ES256  true"}},
		{name: "replaced under its kid", signed: mine, source: source{keys: keys(other), later: keys(mine)}, rotating: true, asked: []string{"keys k ES256", "newer k ES256  true"}},
		{name: "replaced under its kid, the old one still there", signed: mine, source: source{keys: keys(other), later: keys(other, mine)}, rotating: true},
		{name: "replaced, and what is newer cannot be had", signed: mine, source: source{keys: keys(other), lateE: outage}, rotating: true, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature},
		{name: "replaced, and nobody waits any more", signed: mine, source: source{keys: keys(other), lateE: context.Canceled, leaves: true}, rotating: true, want: bearergate.ErrUnavailable, reason: bearergate.ReasonCanceled},
		{name: "replaced, and the source was canceled", signed: mine, source: source{keys: keys(other), lateE: context.Canceled}, rotating: true, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature},
		{name: "replaced, and the source is set up wrongly", signed: mine, source: source{keys: keys(other), lateE: bearergate.ErrMisconfigured}, rotating: true, want: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		{name: "a key without kid", signed: mine, source: source{keys: keys(mine.as(t, ""))}, asked: []string{"keys k ES256"}},
		{name: "four keys without kid", signed: mine, source: source{keys: keys(unnamed, unnamed, unnamed, mine.as(t, ""))}},
		{name: "five keys without kid", signed: mine, source: source{keys: keys(mine.as(t, ""), unnamed, unnamed, unnamed, unnamed)}, rotating: true, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonUnknownKey, asked: []string{"keys k ES256", "newer k ES256  false"}},
		{name: "five keys without kid, and what is newer cannot be had", signed: mine, source: source{keys: keys(unnamed, unnamed, unnamed, unnamed, unnamed), lateE: outage}, rotating: true, want: bearergate.ErrUnavailable, reason: bearergate.ReasonOverloaded},
		{name: "five keys without kid, and a new one with it", signed: mine, source: source{keys: keys(unnamed, unnamed, unnamed, unnamed, unnamed), later: keys(mine)}, rotating: true},
		{name: "a key without kid, and what is newer cannot be had", signed: mine, source: source{keys: keys(unnamed), lateE: outage}, rotating: true, want: bearergate.ErrUnavailable, reason: bearergate.ReasonOverloaded},
		{name: "the zero key", signed: mine, source: source{keys: []jwks.Key{{}}}, want: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		{name: "a source that does not know kids", signed: mine, source: source{keys: keys(mine, theirs)}, want: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},

		{name: "no kid, one key", signed: unnamed, source: source{keys: keys(unnamed)}},
		{name: "no kid, two keys", signed: unnamed, source: source{keys: keys(other, unnamed)}},
		{name: "no kid, four keys", signed: unnamed, source: source{keys: keys(other, other, other, unnamed)}},
		{name: "no kid, five keys", signed: unnamed, source: source{keys: keys(unnamed, other, other, other, other)}, rotating: true, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonUnknownKey, asked: []string{"keys  ES256"}},
		{name: "no kid, rotated", signed: unnamed, source: source{keys: keys(unnamedOther), later: keys(unnamed)}, rotating: true, asked: []string{"keys  ES256", "newer  ES256  true"}},
		{name: "no kid, rotated, and the source cannot tell", signed: unnamed, source: source{keys: keys(unnamedOther), later: keys(unnamed)}, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature},
		{name: "no kid, and nothing newer", signed: unnamed, source: source{keys: keys(unnamedOther), later: keys(unnamedOther)}, rotating: true, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature},
		{name: "no kid, rotated, and signed by neither", signed: newKey(t, ""), source: source{keys: keys(unnamedOther), later: keys(unnamed)}, rotating: true, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature},
		{name: "no kid, and two newer", signed: unnamed, source: source{keys: keys(unnamedOther), later: keys(other, unnamed)}, rotating: true},
		{name: "no kid, and what is newer cannot be had", signed: unnamed, source: source{keys: keys(unnamedOther), lateE: outage}, rotating: true, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature},

		{name: "x5t of one of two", signed: saysA, source: source{keys: keys(inB, inA)}},
		{name: "x5t of one of many", signed: saysA, source: source{keys: keys(inB, inB, inB, inB, inB, inA)}},
		{name: "x5t of one, signed by another", signed: saysA, source: source{keys: keys(unnamed.of(t, "x5t", b), unnamedOther.of(t, "x5t", a)), later: keys(unnamed.of(t, "x5t", b), unnamedOther.of(t, "x5t", a))}, rotating: true, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature, asked: []string{"keys  ES256", "newer  ES256 " + a + " true"}},
		{name: "x5t of none", signed: saysA, source: source{keys: keys(inB)}, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonUnknownKey},
		{name: "x5t of a new key", signed: saysA, source: source{keys: keys(inB), later: keys(inB, inA)}, rotating: true, asked: []string{"keys  ES256", "newer  ES256 " + a + " false"}},
		{name: "x5t of none, and nothing newer", signed: saysA, source: source{keys: keys(inB), later: keys(inB)}, rotating: true, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonUnknownKey, asked: []string{"keys  ES256", "newer  ES256 " + a + " false"}},
		{name: "x5t of none, and what is newer cannot be had", signed: saysA, source: source{keys: keys(inB), lateE: outage}, rotating: true, want: bearergate.ErrUnavailable, reason: bearergate.ReasonOverloaded},
		{name: "x5t, and keys that say nothing of certificates", signed: saysA, source: source{keys: keys(unnamedOther, unnamed)}},
		{name: "x5t, and a key beside it that says nothing", signed: saysA, source: source{keys: keys(inB, unnamed)}, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonUnknownKey},
		{name: "x5t, and keys that know only x5t#S256", signed: saysA, source: source{keys: keys(unnamed.of(t, "x5t#S256", b))}},
		{name: "x5t of five", signed: saysA, source: source{keys: keys(inA, inA, inA, inA, inA)}, rotating: true, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonUnknownKey, asked: []string{"keys  ES256"}},
		{name: "x5t that is no thumbprint", signed: unnamed.says("x5t", "!"), source: source{keys: keys(inB, inA)}},
		{name: "x5t of its own kind, that a key has", signed: unnamed.says("x5t", "QQ"), source: source{keys: keys(inB, unnamed.of(t, "x5t", "QQ"), inB, inB, inB)}},
		{name: "x5t of its own kind, that no key has", signed: unnamed.says("x5t", "QQ"), source: source{keys: keys(inB, inA)}},
		{name: "x5t beside a kid does not count", signed: mine.says("x5t", a), source: source{keys: keys(mine.of(t, "x5t", b))}},

		{name: "a key for this issuer", signed: mine, source: source{keys: keys(ours)}},
		{name: "a key for another issuer", signed: mine, source: source{keys: keys(foreign), later: keys(foreign)}, rotating: true, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonUnknownKey, asked: []string{"keys k ES256", "newer k ES256  false"}},
		{name: "a key for another issuer, and what is newer cannot be had", signed: mine, source: source{keys: keys(foreign), lateE: outage}, rotating: true, want: bearergate.ErrUnavailable, reason: bearergate.ReasonOverloaded},
		{name: "a key for another issuer, then one for this that has not signed", signed: mine, source: source{keys: keys(foreign), later: keys(other)}, rotating: true, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature, asked: []string{"keys k ES256", "newer k ES256  false", "newer k ES256  true"}},
		{name: "a key for another issuer, then one for this", signed: mine, source: source{keys: keys(foreign), later: keys(ours)}, rotating: true},
		{name: "a key for any tenant", signed: mine, source: source{keys: keys(mine.of(t, "issuer", "https://as.example.test/{tenantid}"))}},
		{name: "one key for two issuers", signed: mine, source: source{keys: keys(foreign, ours)}},
		{name: "no kid, and most keys are for others", signed: unnamed, source: source{keys: keys(append(foreigners, unnamed)...)}},
		{name: "no kid, and all keys are for others", signed: foreigners[0], source: source{keys: keys(foreigners...)}, rotating: true, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonUnknownKey, asked: []string{"keys  ES256", "newer  ES256  false"}},
		{name: "no kid, all keys are for others, and what is newer cannot be had", signed: foreigners[0], source: source{keys: keys(foreigners...), lateE: outage}, rotating: true, want: bearergate.ErrUnavailable, reason: bearergate.ReasonOverloaded},
		{name: "no kid, and the newer key is for others", signed: foreigners[0], source: source{keys: keys(unnamed), later: keys(foreigners[0])}, rotating: true, want: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature},

		{name: "an outage", signed: mine, source: source{err: outage}, want: bearergate.ErrUnavailable, reason: bearergate.ReasonOverloaded},
		{name: "an error that says nothing", signed: mine, source: source{err: errors.New("x")}, want: bearergate.ErrUnavailable, reason: bearergate.ReasonKeysUnavailable},
		{name: "a context of its own", signed: mine, source: source{err: context.DeadlineExceeded}, want: bearergate.ErrUnavailable, reason: bearergate.ReasonKeysUnavailable},
		{name: "a source that blames the token", signed: mine, source: source{err: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonUnknownKey}}, want: bearergate.ErrUnavailable, reason: bearergate.ReasonKeysUnavailable},
		{name: "a source that blames the scope", signed: mine, source: source{err: bearergate.ErrInsufficientScope}, want: bearergate.ErrUnavailable, reason: bearergate.ReasonKeysUnavailable},
		{name: "a source that is set up wrongly", signed: mine, source: source{err: bearergate.ErrMisconfigured}, want: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s jwks.Source = &tt.source
			if tt.rotating {
				s = rotating{&tt.source}
			}
			jws, err := jose.Parse(tt.signed.sign(t), 16<<10)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			tt.source.leave = cancel
			found, err := accept.Signer(ctx, s, jws, issuer)
			require.Equal(t, tt.reason, bearergate.ReasonOf(err), "%v", err)
			if tt.want != nil {
				require.ErrorIs(t, err, tt.want)
				require.Equal(t, jwks.Key{}, found)
			} else {
				require.NoError(t, err)
				require.Equal(t, tt.signed.public.Thumbprint(), found.Thumbprint())
			}
			if tt.asked != nil {
				require.Equal(t, tt.asked, tt.source.asked)
			}
			for _, of := range tt.source.issuers {
				require.Equal(t, issuer, of)
			}
		})
	}
}

// Whatever the bytes: no panic, and what a strict reader of another make finds in
// iss, aud and cnf is what the rules judged.
func FuzzReadAndJudge(f *testing.F) {
	seed, err := json.Marshal(good())
	require.NoError(f, err)
	f.Add(seed)
	f.Add([]byte(`{"iss":"https://as.example.test","aud":["api"],"exp":2e3,"iat":1000,"cnf":{"jkt":"x"},"act":{"sub":"a"},"scp":["a"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r accept.Reading
		if reader.Read(data, &r) != nil || rules.Judge(&r, false) != nil {
			return
		}
		var again map[string]any // not a struct: encoding/json would fold the names
		require.NoError(t, json.Unmarshal(data, &again))
		require.Equal(t, rules.Issuer, again["iss"])
		require.Contains(t, fmt.Sprint(again["aud"]), "api")
		require.Contains(t, again, "exp")
		cnf, _ := again["cnf"].(map[string]any)
		for member := range cnf {
			require.Equal(t, "jkt", member)
		}
	})
}
