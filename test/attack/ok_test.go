package attack_test

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwtverify"
)

// okRows are the controls: what a verifier that refuses everything would fail.
// The accepted case of most requirements is here.
func okRows() []row {
	const unicode = `"größe 日本語 \ud83d\ude00 \u0000"`
	return []row{
		// req: R7515-03, R7515-05, R7515-12, R7519-11, R8725-01, R8725-02, R9068-05, R9068-09
		r("OK-001", "RS256", valid(), ok),
		r("OK-002", "ES256", from(e1()), ok),
		r("OK-003", "PS256", from(p1()), ok),
		r("OK-004", "EdDSA", from(ed1()), ok),
		r("OK-005", "header with white space and another order", valid().header("\r\n{ \"kid\" :\t\"r1\" , \"typ\":\"at+jwt\",\n\"alg\" : \"RS256\" }\n "), ok),
		// req: R7515-02
		r("OK-006", "unknown header parameters", valid().hdr("foo", `{"crit":["x"],"a":[1,null]}`).hdr("Crit", `["x"]`).hdr("CRIT", `null`), ok),
		// req: R7519-02
		r("OK-007", "unknown claims, nested, with any characters", valid().clm("größe", unicode).clm("n", `{"iss":"x","exp":{"exp":[null,1e999]}}`), ok),
		r("OK-008", "kid with an escape", valid().hdr("kid", `"r\u0031"`), ok),
		r("OK-009", "ES256 with a high s", from(e1()).mangled(highS), ok),
		r("OK-010", "ES256 with a leading zero octet in r", from(e1()).until(startsWithZero), ok),
		r("OK-011", "alg with an escape", valid().hdr("alg", `"\u0052S256"`), ok),
		r("OK-012", "names of header parameters with escapes", valid().header(`{"\u0061lg":"RS256","\u0074yp":"at+jwt","\u006Bid":"r1"}`), ok),
		r("OK-013", "names of claims with escapes", valid().noClm("iss").addClm(`"\u0069ss"`, strconv.Quote(issuer)), ok),
		r("OK-014", "an escaped slash in iss and aud", valid().clm("iss", `"https:\/\/as.example.com\/"`).clm("aud", `"https:\/\/rs.example.com\/"`), ok),
		r("OK-015", "claims with white space", valid().payload("\n\t{ \"iss\" : \""+issuer+"\", \"sub\":\"u\",\r\n\"aud\":[ \""+audience+"\" ],\"client_id\":\"c\", \"iat\" : "+at(-1)+" ,\"exp\":"+at(60)+" , \"jti\":\"ok-015\",\"scope\":\"read\" }\n"), ok),
		r("OK-016", "typ application/at+jwt", valid().hdr("typ", `"application/at+jwt"`), ok),
		r("OK-017", "a token of a client itself: sub is client_id", valid().clm("sub", `"client-1"`), ok),
		r("OK-018", "a token of exactly 16 KiB", exactly(16<<10), ok),
		r("OK-019", "a kid of 256 bytes", from(e1().as(strings.Repeat("k", 256), "ES256")), ok, keys(e1().as(strings.Repeat("k", 256), "ES256").jwk())),
		r("OK-020", "a kid with every kind of character", from(e1()).hdr("kid", unicode), ok, keys(e1().jwk().set("kid", unicode))),
		r("OK-021", "an alg that Config adds", from(e384()), ok, keys(e384().jwk()), conf(func(c *jwtverify.Config) { c.Algorithms = []string{"ES384"} })),
		r("OK-022", "the default algorithms", from(e384()), ok, keys(e384().jwk()), conf(func(c *jwtverify.Config) { c.Algorithms = nil })),
		r("OK-023", "no kid, and one key that fits the alg", valid().noHdr("kid"), ok),
		r("OK-024", "amr, acr and auth_time", valid().clm("amr", `["pwd"]`).clm("acr", `"loa2"`).clm("auth_time", at(-60)), ok),
		r("OK-025", "an act chain", valid().clm("act", `{"sub":"a","client_id":"c","act":{"sub":"b","iss":"https://x/"}}`), ok),
		r("OK-026", "500 nested arrays in a claim", valid().clm("x", strings.Repeat("[", 500)+strings.Repeat("]", 500)), ok),
		r("OK-027", "500 claims", valid().many(500), ok),
		r("OK-028", "RS256 whose signature begins with a zero octet", zeroRSA(), ok),
		r("OK-029", "keys from a cache", valid(), ok, fetched),
		r("OK-030", "a cache of one entry", valid(), ok, conf(func(c *jwtverify.Config) { c.CacheEntries = 1 })),
		r("OK-031", "cty that is no JWT", valid().hdr("cty", `"json"`), ok),
		r("OK-032", "several audiences configured, the token has the second", valid(), ok, conf(func(c *jwtverify.Config) { c.Audiences = []string{"https://x/", audience} })),
		r("OK-033", "Config.Check accepts", valid(), ok, checks(nil)),
	}
}

func (j jwt) many(claims int) jwt {
	j.body = slices.Clone(j.body)
	for i := range claims {
		j.body = append(j.body, [2]string{fmt.Sprintf(`"c%d"`, i), strconv.Itoa(i)})
	}
	return j
}

// exactly is a valid token of that many bytes.
func exactly(size int) jwt {
	j := from(e1())
	missing := size - len(j.clm("x", `""`).token())
	for more := range 8 {
		for inHeader := range 4 {
			padded := j.clm("x", strconv.Quote(strings.Repeat("x", missing*3/4-16+more))).hdr("y", strconv.Quote(strings.Repeat("y", inHeader)))
			if len(padded.token()) == size {
				return padded
			}
		}
	}
	panic("attack: no token of this size")
}

// highS replaces s by n-s, which verifies as well: RFC 7518 has no low-s rule.
func highS(sig []byte) []byte {
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	if other := new(big.Int).Sub(p256n, s); other.Cmp(s) > 0 {
		s = other
	}
	return pair(r, s, 32)
}

// zeroRSA is a valid token of r1 whose signature begins with a zero octet.
var zeroRSA = sync.OnceValue(func() string {
	return valid().until(startsWithZero).token()
})

func startsWithZero(sig []byte) bool { return sig[0] == 0 }

func checks(err error) func(*row) {
	return conf(func(c *jwtverify.Config) {
		c.Check = func(context.Context, *bearergate.Token) error { return err }
	})
}
