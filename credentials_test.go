package bearergate_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/stretchr/testify/require"
)

// The form of Bearer credentials is tested with BearerToken, which goes the same way.
// req: R9449-27
func TestParseCredentials(t *testing.T) {
	both := []bearergate.Scheme{bearergate.SchemeBearer, bearergate.SchemeDPoP}
	for _, tc := range []struct {
		name     string
		values   []string
		accepted []bearergate.Scheme
		scheme   bearergate.Scheme
		token    string
		kind     error
		reason   bearergate.Reason
	}{
		{name: "Bearer by default", values: []string{"bEaReR a.b"}, scheme: bearergate.SchemeBearer, token: "a.b"},
		{name: "DPoP does not count by default", values: []string{"DPoP a.b"}, kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken},
		{name: "DPoP, in any case", values: []string{"dpop  a.b="}, accepted: both, scheme: bearergate.SchemeDPoP, token: "a.b="},
		{name: "Bearer where both count", values: []string{"Bearer a.b"}, accepted: both, scheme: bearergate.SchemeBearer, token: "a.b"},
		{name: "only DPoP counts", values: []string{"Bearer a.b"}, accepted: both[1:], kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken},
		{name: "another scheme", values: []string{"Basic a.b"}, accepted: both, kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken},
		{name: "a longer scheme", values: []string{"DPoPx a.b"}, accepted: both, kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken},
		{name: "a tab after the scheme", values: []string{"DPoP\ta.b"}, accepted: both, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "a comma after the scheme", values: []string{"DPoP,a.b"}, accepted: both, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "the scheme alone", values: []string{"DPoP"}, accepted: both, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "white space before the scheme", values: []string{" DPoP a.b"}, accepted: both, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "a tab behind the token", values: []string{"DPoP a.b\t"}, accepted: both, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "a quoted token", values: []string{`DPoP "a.b"`}, accepted: both, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "a byte beyond ASCII", values: []string{"DPoP a.\xe4"}, accepted: both, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "no token", values: []string{"DPoP "}, accepted: both, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "two tokens", values: []string{"DPoP a b"}, accepted: both, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "two values", values: []string{"Bearer a.b", "DPoP a.b"}, accepted: both, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "two in one value", values: []string{"Bearer a.b, DPoP a.b"}, accepted: both, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "none", accepted: both, kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken},
		{name: "a scheme that is none", values: []string{"Bearer a.b"}, accepted: []bearergate.Scheme{bearergate.SchemeBearer, "bearer"}, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := bearergate.ParseCredentials(tc.values, tc.accepted...)
			if tc.kind == nil {
				require.NoError(t, err)
				require.Equal(t, tc.scheme, c.Scheme)
				require.Equal(t, tc.token, c.Raw.Reveal())
				return
			}
			requireKind(t, err, tc.kind, tc.reason)
			require.Zero(t, c)
		})
	}
}

func FuzzParseCredentials(f *testing.F) {
	for _, seed := range []string{"", "Bearer a.b", "DPoP a.b=", "dpop\ta", "Bearer  x", " Bearer x", "DPoP a,b", "DPoPBearer x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		c, err := bearergate.ParseCredentials([]string{value}, bearergate.SchemeBearer, bearergate.SchemeDPoP)
		if err != nil {
			require.Zero(t, c)
			require.Len(t, kindsOf(err), 1)
			return
		}
		// What was accepted says the same again, in the form of the RFCs.
		again, err := bearergate.ParseCredentials([]string{string(c.Scheme) + " " + c.Raw.Reveal()}, c.Scheme)
		require.NoError(t, err)
		require.Equal(t, c.Raw.Reveal(), again.Raw.Reveal())
		require.True(t, strings.EqualFold(value[:len(c.Scheme)], string(c.Scheme)))
		require.True(t, strings.HasSuffix(value, " "+c.Raw.Reveal()))
	})
}

func TestCallValues(t *testing.T) {
	require.Nil(t, bearergate.Call{}.Values("DPoP"))
	c := bearergate.Call{Header: func(name string) []string { return []string{name, "x"} }}
	require.Equal(t, []string{"DPoP", "x"}, c.Values("DPoP"))
}

// No verb, no encoder, and no field that hides it shows the text.
func TestSecretIsNotShown(t *testing.T) {
	s := bearergate.NewSecret("hunter2")
	require.Equal(t, "hunter2", s.Reveal())
	require.Empty(t, bearergate.Secret{}.Reveal())
	require.Empty(t, bearergate.NewSecret("").Reveal())
	type holder struct {
		hidden  bearergate.Secret
		Shown   bearergate.Secret
		pointer *bearergate.Secret
	}
	h := holder{s, s, &s}
	credentials := bearergate.Credentials{Scheme: bearergate.SchemeDPoP, Raw: s}
	for _, v := range []any{s, &s, h, &h, credentials, &credentials, bearergate.Call{Credentials: credentials}, []bearergate.Secret{s}, map[string]bearergate.Secret{"k": s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t", "%p"} {
			require.NotContains(t, fmt.Sprintf(verb, v), "hunter2", "%s of a %T", verb, v)
			require.NotContains(t, fmt.Sprintf(verb, v), fmt.Sprintf("%x", "hunter2"), "%s of a %T", verb, v)
		}
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		require.NotContains(t, log.String(), "hunter2")
	}
	for _, v := range []any{s, &s, struct{ S bearergate.Secret }{s}, []bearergate.Secret{s}} {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		require.NotContains(t, string(b), "hunter2")
	}
}
