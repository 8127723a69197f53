package zoo_test

import (
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/test/kit"
)

// everywhere are the tokens that no verifier of any provider accepts: the first good one,
// with one thing changed.
func (p *provider) everywhere(t testing.TB) []row {
	t.Helper()
	wrong := func(kind string, want bearergate.Reason, change func(*row)) row {
		r := p.good()
		r.kind, r.want, r.with, r.header = kind, want, both(r.with, nil), both(r.header, nil)
		change(&r)
		return r
	}
	says := func(kind string, want bearergate.Reason, name string, value any) row {
		return wrong(kind, want, func(r *row) { r.with[name] = value })
	}
	headed := func(kind string, want bearergate.Reason, name string, value any) row {
		return wrong(kind, want, func(r *row) { r.header[name] = value })
	}
	const (
		hour = 3600
		now  = 1772366400
	)
	rows := []row{
		says("aud of somebody else", bearergate.ReasonAudience, "aud", "https://another.example.test"),
		says("an array of auds of others", bearergate.ReasonAudience, "aud", []string{"https://another.example.test", "account"}),
		says("aud null", bearergate.ReasonMissingClaim, "aud", nil),
		says("aud []", bearergate.ReasonMissingClaim, "aud", []string{}),
		says("aud that is empty", bearergate.ReasonMissingClaim, "aud", ""),
		says("aud of the wrong type", bearergate.ReasonMalformed, "aud", 7),
		says("another iss", bearergate.ReasonIssuer, "iss", "https://another.example.test"),
		says("no iss", bearergate.ReasonMissingClaim, "iss", kit.Absent),
		says("iss null", bearergate.ReasonMissingClaim, "iss", nil),
		says("expired", bearergate.ReasonExpired, "exp", now-hour),
		says("no exp", bearergate.ReasonMissingClaim, "exp", kit.Absent),
		says("issued in an hour", bearergate.ReasonNotYetValid, "iat", now+hour),
		says("not before in an hour", bearergate.ReasonNotYetValid, "nbf", now+hour),
		says("a logout token", bearergate.ReasonType, "events", m{"http://schemas.openid.net/event/backchannel-logout": m{}}),
		says("an introspection answer", bearergate.ReasonType, "token_introspection", m{"active": true}),
		says("bound by something that nobody confirms", bearergate.ReasonBinding, "cnf", m{"jwk": m{"kty": "EC"}}),
		says("cnf null", bearergate.ReasonMalformed, "cnf", nil),
		headed("a logout token, by its typ", bearergate.ReasonType, "typ", "logout+jwt"),
		headed("a DPoP proof, by its typ", bearergate.ReasonType, "typ", "dpop+jwt"),
		headed("HS256 under the public key", bearergate.ReasonAlgorithm, "alg", "HS256"),
		headed("alg none", bearergate.ReasonAlgorithm, "alg", "none"),
		headed("crit", bearergate.ReasonMalformed, "crit", []string{"exp"}),
		wrong("a stranger's key under the kid", bearergate.ReasonSignature, func(r *row) { r.forged = true }),
		wrong("a stranger's key under a kid of its own", bearergate.ReasonUnknownKey, func(r *row) { r.forged, r.header["kid"] = true, "stranger" }),
		wrong("five parts", bearergate.ReasonMalformed, func(r *row) { r.parts = 2 }),
	}
	if len(p.preset.AllowAudienceFrom) == 0 && !p.noAudience {
		rows = append(rows, says("no aud", bearergate.ReasonMissingClaim, "aud", kit.Absent))
	}
	return rows
}
