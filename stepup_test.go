package bearergate_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

// asksForC1 is {"access_token":{"acrs":{"essential":true,"value":"c1"}}}.
const asksForC1 = "eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiYzEifX19"

// What acrs must say, and what a client is told that does or does not understand a claims
// challenge.
func TestAuthContext(t *testing.T) {
	t.Parallel()
	const lacks = "acrs does not hold the authentication context"
	for _, tt := range []struct {
		name          string
		claims        string
		acr           string            // of the token
		demand        bearergate.StepUp // c1 besides
		ok            bool
		detail, found string
		challenge     string
		acrValues     []string
	}{
		{name: "holds it", claims: `{"acrs":["c1"]}`, ok: true},
		{name: "holds it among others", claims: `{"acrs":["p1","c2","c1"],"xms_cc":["cp1"]}`, ok: true},
		{name: "holds it, written with escapes", claims: `{"\u0061crs":["\u00631"]}`, ok: true},

		{name: "absent", claims: `{"sub":"u"}`, detail: lacks, acrValues: []string{"c1"}},
		{name: "absent, cp1", claims: `{"xms_cc":["cp1"]}`, detail: lacks, challenge: asksForC1},
		{name: "null", claims: `{"acrs":null}`, detail: lacks, acrValues: []string{"c1"}},
		{name: "null, cp1", claims: `{"acrs":null,"xms_cc":["cp1"]}`, detail: lacks, challenge: asksForC1},
		{name: "empty, cp1", claims: `{"acrs":[],"xms_cc":["cp1"]}`, detail: lacks, challenge: asksForC1},
		{name: "others", claims: `{"acrs":["c2","c10"]}`, detail: lacks, found: `"c2" "c10"`, acrValues: []string{"c1"}},
		{name: "others, cp1", claims: `{"acrs":["c2"],"xms_cc":["cp1"]}`, detail: lacks, found: `"c2"`, challenge: asksForC1},
		{name: "another case", claims: `{"acrs":["C1"]}`, detail: lacks, found: `"C1"`, acrValues: []string{"c1"}},
		{name: "a list in one string", claims: `{"acrs":["c1 c2"]}`, detail: lacks, found: `"c1 c2"`, acrValues: []string{"c1"}},
		{name: "a claim of another case", claims: `{"ACRS":["c1"]}`, detail: lacks, acrValues: []string{"c1"}},
		{name: "within another claim", claims: `{"ext":{"acrs":["c1"]}}`, detail: lacks, acrValues: []string{"c1"}},
		{name: "as acr", claims: `{"acr":"c1"}`, acr: "c1", detail: lacks, acrValues: []string{"c1"}},

		{name: "a string", claims: `{"acrs":"c1"}`, detail: "acrs is no array of strings", acrValues: []string{"c1"}},
		{name: "a string, cp1", claims: `{"acrs":"c1","xms_cc":["cp1"]}`, detail: "acrs is no array of strings", challenge: asksForC1},
		{name: "an object", claims: `{"acrs":{"c1":true}}`, detail: "acrs is no array of strings", acrValues: []string{"c1"}},
		{name: "a number", claims: `{"acrs":1}`, detail: "acrs is no array of strings", acrValues: []string{"c1"}},
		{name: "strings and a number", claims: `{"acrs":["c1",1]}`, detail: "acrs is no array of strings", acrValues: []string{"c1"}},
		{name: "nested", claims: `{"acrs":[["c1"]]}`, detail: "acrs is no array of strings", acrValues: []string{"c1"}},

		{name: "xms_cc in another case", claims: `{"xms_cc":["CP1"]}`, detail: lacks, challenge: asksForC1},
		{name: "xms_cc with other capabilities", claims: `{"xms_cc":["foo","cp1"]}`, detail: lacks, challenge: asksForC1},
		{name: "xms_cc without cp1", claims: `{"xms_cc":["cp10","foo"]}`, detail: lacks, acrValues: []string{"c1"}},
		{name: "xms_cc is a string", claims: `{"xms_cc":"cp1"}`, detail: lacks, acrValues: []string{"c1"}},
		{name: "xms_cc null", claims: `{"xms_cc":null}`, detail: lacks, acrValues: []string{"c1"}},
		{name: "xms_cc with a number", claims: `{"xms_cc":["cp1",1]}`, detail: lacks, acrValues: []string{"c1"}},

		{name: "no claims", claims: ``, detail: lacks, acrValues: []string{"c1"}},
		{name: "claims that are cut off", claims: `{"acrs":["c1"],"xms_cc":["cp1"],`, detail: lacks, acrValues: []string{"c1"}},
		{name: "claims that say it twice", claims: `{"acrs":["c1"],"acrs":["c1"]}`, detail: lacks, acrValues: []string{"c1"}},

		// Beside what RFC 9470 knows, both are demanded. acr_values is one of several, so a
		// context and an acr cannot stand there together.
		{name: "both hold", claims: `{"acrs":["c1"]}`, acr: "mfa", demand: bearergate.StepUp{ACR: []string{"mfa"}}, ok: true},
		{name: "acr holds", claims: `{}`, acr: "mfa", demand: bearergate.StepUp{ACR: []string{"mfa"}}, detail: lacks, acrValues: []string{"c1"}},
		{name: "acr holds, cp1", claims: `{"xms_cc":["cp1"]}`, acr: "mfa", demand: bearergate.StepUp{ACR: []string{"mfa"}}, detail: lacks,
			challenge: asksForC1, acrValues: []string{"mfa"}},
		{name: "acrs holds", claims: `{"acrs":["c1"]}`, demand: bearergate.StepUp{ACR: []string{"mfa"}}, detail: "acr is none of those that suffice", acrValues: []string{"mfa"}},
		// The code has to name what is missing: a client that answers insufficient_claims
		// would come back with the same acr for ever.
		{name: "acrs holds, cp1", claims: `{"acrs":["c1"],"xms_cc":["cp1"]}`, demand: bearergate.StepUp{ACR: []string{"mfa"}},
			detail: "acr is none of those that suffice", acrValues: []string{"mfa"}},
		{name: "neither holds", claims: `{}`, acr: "pwd", demand: bearergate.StepUp{ACR: []string{"mfa"}}, detail: lacks, acrValues: []string{"c1"}},
		{name: "neither holds, cp1", claims: `{"xms_cc":["cp1"]}`, acr: "pwd", demand: bearergate.StepUp{ACR: []string{"mfa"}}, detail: lacks,
			challenge: asksForC1, acrValues: []string{"mfa"}},
		{name: "acrs holds, no auth_time", claims: `{"acrs":["c1"]}`, demand: bearergate.StepUp{MaxAge: time.Minute}, detail: "there is no auth_time", acrValues: []string{"c1"}},
		{name: "acrs holds, no auth_time, cp1", claims: `{"acrs":["c1"],"xms_cc":["cp1"]}`, demand: bearergate.StepUp{MaxAge: time.Minute},
			detail: "there is no auth_time", acrValues: []string{"c1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			demand := tt.demand
			demand.AuthContext = "c1"
			require.NoError(t, demand.Err())
			token := bearergate.NewToken(bearergate.Claims{ACR: tt.acr, Scopes: scope.Of("read"), Raw: []byte(tt.claims)})
			explained := bearergate.Explanation{Token: token}.Authorize(demand, scope.Requirement{})
			err := demand.Authorize(token, scope.All("pay"))
			if tt.ok {
				require.NoError(t, err)
				require.NoError(t, explained.Err)
				return
			}
			requireKind(t, err, bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication)
			e := bearergate.AsError(err)
			require.Equal(t, []string{tt.detail, tt.found}, []string{e.Detail, e.Found})
			if tt.detail == lacks {
				require.Equal(t, `"c1"`, e.Expected)
			}
			require.Equal(t, tt.challenge, e.ClaimsChallenge)
			require.Equal(t, tt.acrValues, e.ACRValues)
			require.Equal(t, demand.MaxAge, e.MaxAge)
			require.Equal(t, []string{"pay"}, e.Scopes)
			code := "INSUFFICIENT_USER_AUTHENTICATION"
			if tt.challenge != "" {
				code = "INSUFFICIENT_CLAIMS"
			}
			require.Equal(t, code, e.Code(false))

			step, failed := explained.Failed()
			require.True(t, failed)
			require.Equal(t, []string{"authentication", tt.detail, tt.found}, []string{step.Name, step.Detail, step.Found})
			require.Equal(t, e.Detail == lacks || strings.HasPrefix(e.Detail, "acrs"), strings.Contains(explained.Advice[0], "Conditional Access"))
		})
	}
	for _, none := range []*bearergate.Token{nil, {}} {
		err := bearergate.StepUp{AuthContext: "c1"}.Authorize(none, scope.Requirement{})
		requireKind(t, err, bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication)
	}
}

// A claims request is what Microsoft's documentation shows, byte for byte.
func TestClaimsChallenge(t *testing.T) {
	t.Parallel()
	capable := bearergate.NewToken(bearergate.Claims{Raw: []byte(`{"xms_cc":["cp1"]}`)})
	for context, want := range map[string]string{
		"cp1": "eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiY3AxIn19fQ==", // theirs, with padding
		"c1":  asksForC1,
		"c25": base64.StdEncoding.EncodeToString([]byte(`{"access_token":{"acrs":{"essential":true,"value":"c25"}}}`)),
		"<&>": base64.StdEncoding.EncodeToString([]byte(`{"access_token":{"acrs":{"essential":true,"value":"<&>"}}}`)),
		// Mistakes, which Err names, stay within the value.
		`c1"}}`: base64.StdEncoding.EncodeToString([]byte(`{"access_token":{"acrs":{"essential":true,"value":"c1\"}}"}}}`)),
		"\xff":  "",
	} {
		err := bearergate.StepUp{AuthContext: context}.Authorize(capable, scope.Requirement{})
		requireKind(t, err, bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication)
		require.Equal(t, want, bearergate.AsError(err).ClaimsChallenge, context)
	}
}

func TestAuthContextMistakes(t *testing.T) {
	t.Parallel()
	for _, mistake := range []string{" ", "c1 c2", `c"1`, `c\1`, "c1\r\n", "ç1", "\x00"} {
		require.ErrorContains(t, bearergate.StepUp{AuthContext: mistake}.Err(), "AuthContext: use printable ASCII", "%q", mistake)
	}
	for _, name := range []string{"c1", "c99", "urn:x:c1"} {
		require.NoError(t, bearergate.StepUp{AuthContext: name}.Err())
	}
	require.ErrorContains(t, bearergate.StepUp{}.Err(), "demands nothing")
	all := bearergate.StepUp{ACR: []string{""}, MaxAge: 1, AuthContext: " "}.Err()
	for _, part := range []string{"acr value 1", "maxAge is 1ns", "AuthContext: use printable ASCII"} {
		require.ErrorContains(t, all, part, "every mistake at once")
	}
}

// What may be the token itself is in no error.
func TestAuthContextOfAnUnquotableToken(t *testing.T) {
	t.Parallel()
	token := bearergate.NewToken(bearergate.Claims{Unquotable: true, Raw: []byte(`{"acrs":["s3cret"]}`)})
	err := bearergate.StepUp{AuthContext: "c1"}.Authorize(token, scope.Requirement{})
	requireKind(t, err, bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication)
	require.NotContains(t, err.Error(), "s3cret")
}

// A route without an authentication context pays nothing for those that have one.
func TestStepUpWithoutAuthContextAllocatesNothing(t *testing.T) {
	token := bearergate.NewToken(bearergate.Claims{ACR: "mfa", AuthTime: time.Now(), Raw: []byte(`{"acrs":["c1"]}`)})
	for _, demand := range []bearergate.StepUp{{}, {ACR: []string{"mfa"}, MaxAge: time.Hour}} {
		require.Zero(t, testing.AllocsPerRun(100, func() { _ = demand.Authorize(token, scope.Requirement{}) }))
	}
}
