// Package proofs has what clients send with tokens that are bound to DPoP keys (RFC 9449),
// right and wrong, as rows for every transport: a valid request and one mutation.
package proofs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/test/kit"
)

// Scene is what a row starts from: a client with a key, the token that is bound to it, and
// the request for which it is used.
type Scene struct {
	T           testing.TB
	Method, URL string // what the client calls
	Token       string
	Key         kit.ProofKey            // of the client
	Other       kit.ProofKey            // of somebody else; ES256
	Keys        map[string]kit.ProofKey // one for each algorithm
	Now         time.Time
}

// signers are keys for the algorithms, made once: RSA keys take a while.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	made := map[string]crypto.Signer{}
	for _, alg := range []string{"ES384", "ES512", "EdDSA", "RS256"} {
		made[alg], _ = jose.GenerateKey(alg) // its errors are for other names
	}
	made["Ed25519"], made["PS256"], made["PS512"] = made["EdDSA"], made["RS256"], made["RS256"]
	return made
})

// NewScene returns a scene without a token. The client has a new key, for ES256.
func NewScene(t testing.TB, method, url string) Scene {
	t.Helper()
	s := Scene{T: t, Method: method, URL: url, Now: time.Now(), Key: kit.NewProofKey(t, "ES256"), Other: kit.NewProofKey(t, "ES256"), Keys: map[string]kit.ProofKey{}}
	for alg, signer := range signers() {
		s.Keys[alg] = kit.ProofKeyOf(t, alg, signer)
	}
	return s
}

// Sent is what a client sends.
type Sent struct {
	Scheme string
	Token  string
	Proofs []string // the values of the header DPoP
}

// Row is a request.
type Row struct {
	Name string
	// Alg is that of the client's key; "" is ES256.
	Alg string
	// Bound is what the token is bound to; nil: to the client's key.
	Bound func(s Scene) map[string]any
	// Header and Claims are changes of the proof.
	Header, Claims map[string]any
	// Change is any other one. It gets what the client would send.
	Change func(s Scene, sent *Sent)
	// Want is why the request is refused; "" if it is accepted.
	Want bearergate.Reason
}

// In returns the scene with the key of the row.
func (r Row) In(s Scene) Scene {
	if r.Alg != "" {
		s.Key = s.Keys[r.Alg]
	}
	return s
}

// Cnf is what the token is bound to; nil: it is not bound.
func (r Row) Cnf(s Scene) map[string]any {
	if r.Bound != nil {
		return r.Bound(s)
	}
	return map[string]any{"jkt": r.In(s).Key.Thumbprint}
}

// Make returns what a client sends in a scene.
func (r Row) Make(s Scene) Sent {
	s.T.Helper()
	s = r.In(s)
	sent := Sent{Scheme: "DPoP", Token: s.Token}
	claims := s.Claims()
	maps.Copy(claims, r.Claims)
	sent.Proofs = []string{s.Key.Sign(s.T, r.Header, claims)}
	if r.Change != nil {
		r.Change(s, &sent)
	}
	return sent
}

// Claims are those of a valid proof.
func (s Scene) Claims() map[string]any { return s.Key.Claims(s.Method, s.URL, s.Token, s.Now) }

// with signs the valid claims with these changes.
func (s Scene) with(header, claims map[string]any) string {
	whole := s.Claims()
	maps.Copy(whole, claims)
	return s.Key.Sign(s.T, header, whole)
}

// header is the valid header as text, with a change of it.
func (s Scene) header(change func(text string) string) string {
	data, err := json.Marshal(map[string]any{"typ": "dpop+jwt", "alg": s.Key.Alg, "jwk": s.Key.JWK})
	require.NoError(s.T, err)
	return change(string(data))
}

func (s Scene) claims(change func(text string) string) string {
	data, err := json.Marshal(s.Claims())
	require.NoError(s.T, err)
	return change(string(data))
}

func same(text string) string { return text }

// proof replaces the proof.
func proof(made func(s Scene, valid string) string) func(Scene, *Sent) {
	return func(s Scene, sent *Sent) { sent.Proofs = []string{made(s, sent.Proofs[0])} }
}

// jwk changes the key in the header; the token is bound to the client's.
func jwk(change map[string]any) func(Scene, *Sent) {
	return func(s Scene, sent *Sent) {
		whole := maps.Clone(s.Key.JWK)
		maps.Copy(whole, change)
		maps.DeleteFunc(whole, func(_ string, v any) bool { return v == kit.Absent })
		sent.Proofs = []string{s.with(map[string]any{"jwk": whole}, nil)}
	}
}

// signature changes the last part.
func signature(change func(sig []byte) []byte) func(Scene, *Sent) {
	return proof(func(s Scene, valid string) string {
		dot := strings.LastIndexByte(valid, '.')
		sig, err := base64.RawURLEncoding.DecodeString(valid[dot+1:])
		require.NoError(s.T, err)
		return valid[:dot+1] + base64.RawURLEncoding.EncodeToString(change(sig))
	})
}

// jkt is what the token is bound to, made of the thumbprint of the client's key.
func jkt(value func(jkt string) any) func(Scene) map[string]any {
	return func(s Scene) map[string]any { return m{"jkt": value(s.Key.Thumbprint)} }
}

// thumbprint is jkt of a key that is written as RFC 7638 wants it.
func thumbprint(jwk string) func(Scene) map[string]any {
	return func(Scene) map[string]any {
		sum := sha256.Sum256([]byte(jwk))
		return m{"jkt": base64.RawURLEncoding.EncodeToString(sum[:])}
	}
}

func notBound(Scene) map[string]any { return nil }

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

const (
	wrong   = bearergate.ReasonProof
	unbound = bearergate.ReasonBinding
)

type m = map[string]any

// Rows returns the rows, each of which stands alone.
func Rows() []Row {
	rows := accepted()
	rows = append(rows, forms()...)
	rows = append(rows, headers()...)
	rows = append(rows, keys()...)
	rows = append(rows, claimRows()...)
	return append(rows, schemes()...)
}

func accepted() []Row {
	return []Row{
		{Name: "W2-001 valid"},
		{Name: "W2-016, DPO-004 further members and claims", Header: m{"tx_id": "a", "kid": "", "x5c": m{}, "jku": 1}, Claims: m{"tx_id": "a", "iss": "client", "sub": 7, "HTU": "https://evil.test/"}},
		{Name: "DPO-033 a jwk that says more of itself", Change: jwk(m{"kid": "k", "alg": "RS256", "use": "enc", "key_ops": []string{"sign"}, "ext": true, "y2": nil})},
		{Name: "a private member that is null", Change: jwk(m{"d": nil})},
		{Name: "a jwk that is null in all that it has not", Change: jwk(m{"n": nil, "e": nil, "k": nil, "alg": nil, "kid": nil})},
		{Name: "the same for RSA", Alg: "RS256", Change: jwk(m{"crv": nil, "x": nil, "y": nil, "d": nil})},
		{Name: "twenty more claims and header members", Header: more(20), Claims: more(20)},
		{Name: "DPO-023 typ in capitals", Header: m{"typ": "DPoP+JWT"}},
		{Name: "DPO-066 iat with a fraction", Change: proof(func(s Scene, _ string) string {
			return s.with(nil, m{"iat": json.Number(fmt.Sprintf("%d.5", s.Now.Unix()-1))})
		})},
		{Name: "exp in 5 minutes, nbf now", Change: proof(func(s Scene, _ string) string {
			return s.with(nil, m{"exp": s.Now.Unix() + 300, "nbf": s.Now.Unix()})
		})},
		{Name: "EdDSA", Alg: "EdDSA"},
		{Name: "W2-030 Ed25519", Alg: "Ed25519"},
		{Name: "PS256", Alg: "PS256"},
		{Name: "RS256", Alg: "RS256"},
		{Name: "a nonce of somebody else, where there are none", Claims: m{"nonce": "of the authorization server"}},
		{Name: "a nonce that is null", Claims: m{"nonce": nil}},
		{Name: "jti of 256 bytes", Change: proof(func(s Scene, _ string) string {
			id := rand.Text() // an even number of characters
			return s.with(nil, m{"jti": id + strings.Repeat("é", (256-len(id))/2)})
		})},
		{Name: "escapes in the claims", Change: proof(func(s Scene, _ string) string {
			return s.Key.SignText(s.T, s.header(same), s.claims(func(text string) string { return strings.Replace(text, `"htm"`, `"\u0068tm"`, 1) }))
		})},
		{Name: "white space in the JSON", Change: proof(func(s Scene, _ string) string {
			return s.Key.SignText(s.T, " "+s.header(same)+"\n", "\t"+s.claims(same)+" ")
		})},
		{Name: "the scheme in capitals", Change: func(_ Scene, sent *Sent) { sent.Scheme = "DPOP" }},
	}
}

// more is members that nobody reads.
func more(n int) m {
	members := m{}
	for i := range n {
		members[fmt.Sprint("x", i)] = i
	}
	return members
}

func forms() []Row {
	return []Row{
		{Name: "W2-144, DPO-005 no proof", Change: func(_ Scene, sent *Sent) { sent.Proofs = nil }, Want: wrong},
		{Name: "W2-003, DPO-010 the proof twice", Change: func(_ Scene, sent *Sent) { sent.Proofs = append(sent.Proofs, sent.Proofs[0]) }, Want: wrong},
		{Name: "two proofs", Change: func(s Scene, sent *Sent) { sent.Proofs = append(sent.Proofs, s.with(nil, nil)) }, Want: wrong},
		{Name: "DPO-011 a proof and something else", Change: func(_ Scene, sent *Sent) { sent.Proofs = append(sent.Proofs, "x") }, Want: wrong},
		{Name: "a proof and nothing", Change: func(_ Scene, sent *Sent) { sent.Proofs = append(sent.Proofs, "") }, Want: wrong},
		{Name: "W2-004, DPO-012 two with a comma", Change: proof(func(s Scene, valid string) string { return valid + ", " + s.with(nil, nil) }), Want: wrong},
		{Name: "two with a comma and no space", Change: proof(func(s Scene, valid string) string { return valid + "," + s.with(nil, nil) }), Want: wrong},
		{Name: "W2-005 empty", Change: proof(func(Scene, string) string { return "" }), Want: wrong},
		{Name: "W2-006 two parts", Change: proof(func(_ Scene, valid string) string { return valid[:strings.LastIndexByte(valid, '.')] }), Want: wrong},
		{Name: "W2-007 five parts", Change: proof(func(_ Scene, valid string) string { return valid + ".AA.AA" }), Want: wrong},
		{Name: "DPO-014 the JSON serialization", Change: proof(func(_ Scene, valid string) string {
			p := strings.Split(valid, ".")
			return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, p[0], p[1], p[2])
		}), Want: wrong},
		{Name: "padding", Change: proof(func(_ Scene, valid string) string { return valid + "=" }), Want: wrong},
		{Name: "a space within", Change: proof(func(_ Scene, valid string) string { return strings.Replace(valid, ".", ". ", 1) }), Want: wrong},
		{Name: "a scheme before it", Change: proof(func(_ Scene, valid string) string { return "DPoP " + valid }), Want: wrong},
		{Name: "trailing bits that mean nothing", Change: proof(func(s Scene, _ string) string {
			sig := s.with(nil, nil) // 64 octets end in 4 bits of nothing
			return sig[:len(sig)-1] + string(sig[len(sig)-1]+1)
		}), Want: wrong},
		{Name: "W2-011 9 KiB", Claims: m{"pad": strings.Repeat("x", 9<<10)}, Want: wrong},
		{Name: "a hundred claims", Claims: more(100), Want: wrong},
		{Name: "a hundred header members", Header: more(100), Want: wrong},
		{Name: "a thousand arrays", Claims: m{"pad": json.RawMessage(strings.Repeat("[", 600) + strings.Repeat("]", 600))}, Want: wrong},
	}
}

func headers() []Row {
	text := func(change func(text string) string) func(Scene, *Sent) {
		return proof(func(s Scene, _ string) string { return s.Key.SignText(s.T, s.header(change), s.claims(same)) })
	}
	return []Row{
		{Name: "W2-020 no typ", Header: m{"typ": kit.Absent}, Want: wrong},
		{Name: "typ is null", Header: m{"typ": nil}, Want: wrong},
		{Name: "typ is a number", Header: m{"typ": 1}, Want: wrong},
		{Name: "W2-021, DPO-022 typ JWT", Header: m{"typ": "JWT"}, Want: wrong},
		{Name: "typ at+jwt", Header: m{"typ": "at+jwt"}, Want: wrong},
		{Name: "typ with more", Header: m{"typ": "dpop+jwt+wrongyousee"}, Want: wrong},
		{Name: "DPO-023 typ with application", Header: m{"typ": "application/dpop+jwt"}, Want: wrong},
		{Name: "no alg", Header: m{"alg": kit.Absent}, Want: wrong},
		{Name: "DPO-024 alg none", Change: proof(func(s Scene, _ string) string {
			return b64(s.header(func(text string) string { return strings.Replace(text, "ES256", "none", 1) })) + "." + b64(s.claims(same)) + "."
		}), Want: wrong},
		{Name: "alg NONE", Header: m{"alg": "NONE"}, Want: wrong},
		{Name: "W2-025 alg HS256", Header: m{"alg": "HS256"}, Want: wrong},
		{Name: "alg ES256K", Header: m{"alg": "ES256K"}, Want: wrong},
		{Name: "alg RS1", Header: m{"alg": "RS1"}, Want: wrong},
		{Name: "alg in small letters", Header: m{"alg": "es256"}, Want: wrong},
		{Name: "alg is a number", Header: m{"alg": 256}, Want: wrong},
		{Name: "W2-028 ES384", Alg: "ES384", Want: wrong},
		{Name: "ES512", Alg: "ES512", Want: wrong},
		{Name: "PS512", Alg: "PS512", Want: wrong},
		{Name: "DPO-027 alg of another kind of key", Header: m{"alg": "RS256"}, Want: wrong},
		{Name: "alg of another curve", Header: m{"alg": "EdDSA"}, Want: wrong},
		{Name: "crit", Header: m{"crit": []string{"htu"}}, Want: wrong},
		{Name: "crit is empty", Header: m{"crit": []string{}}, Want: wrong},
		{Name: "crit names what is there", Header: m{"crit": []string{"exp"}, "exp": 1}, Want: wrong},
		{Name: "b64", Header: m{"b64": true}, Want: wrong},
		{Name: "W2-012 a BOM", Change: text(func(text string) string { return "\ufeff" + text }), Want: wrong},
		{Name: "something behind", Change: text(func(text string) string { return text + "{}" }), Want: wrong},
		{Name: "an array", Change: text(func(text string) string { return "[" + text + "]" }), Want: wrong},
		{Name: "alg twice", Change: text(func(text string) string { return `{"alg":"ES256",` + text[1:] }), Want: wrong},
		{Name: "typ twice", Change: text(func(text string) string { return `{"typ":"JWT",` + text[1:] }), Want: wrong},
		{Name: "jwk twice", Change: text(func(text string) string { return `{"jwk":{},` + text[1:] }), Want: wrong},
		{Name: "Typ for typ", Change: text(func(text string) string { return strings.Replace(text, `"typ"`, `"Typ"`, 1) }), Want: wrong},
		{Name: "a member of the jwk twice", Change: text(func(text string) string { return strings.Replace(text, `"jwk":{`, `"jwk":{"kty":"EC",`, 1) }), Want: wrong},
		{Name: "two thousand objects", Change: text(func(text string) string {
			return `{"a":` + strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200) + "," + text[1:]
		}), Want: wrong},
	}
}

// Keys under which signatures mean nothing.
const (
	weakEd25519 = `{"crv":"Ed25519","kty":"OKP","x":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`
	offCurve    = `{"crv":"P-256","kty":"EC","x":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE","y":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"}`
)

func weakRSA(s Scene) string {
	return `{"e":"AQ","kty":"RSA","n":"` + s.Keys["RS256"].JWK["n"].(string) + `"}`
}

func keys() []Row {
	return []Row{
		{Name: "no jwk", Header: m{"jwk": kit.Absent}, Want: wrong},
		{Name: "jwk is null", Header: m{"jwk": nil}, Want: wrong},
		{Name: "jwk is a string", Header: m{"jwk": "{}"}, Want: wrong},
		{Name: "jwk is a set", Change: proof(func(s Scene, _ string) string { return s.with(m{"jwk": m{"keys": []any{s.Key.JWK}}}, nil) }), Want: wrong},
		{Name: "W2-033 d", Change: jwk(m{"d": "AA"}), Want: wrong},
		{Name: "p only", Change: jwk(m{"p": "AA"}), Want: wrong},
		{Name: "oth", Change: jwk(m{"oth": []any{}}), Want: wrong},
		{Name: "k", Change: jwk(m{"k": "AA"}), Want: wrong},
		{Name: "d is empty", Change: jwk(m{"d": ""}), Want: wrong},
		{Name: "kty oct", Change: jwk(m{"kty": "oct"}), Want: wrong},
		{Name: "kty in small letters", Change: jwk(m{"kty": "ec"}), Want: wrong},
		{Name: "no crv", Change: jwk(m{"crv": kit.Absent}), Want: wrong},
		{Name: "crv of another", Change: jwk(m{"crv": "P-384"}), Want: wrong},
		{Name: "crv unknown", Change: jwk(m{"crv": "secp256k1"}), Want: wrong},
		{Name: "no y", Change: jwk(m{"y": kit.Absent}), Want: wrong},
		{Name: "x is a number", Change: jwk(m{"x": 1}), Want: wrong},
		{Name: "W2-036 a point off the curve", Change: jwk(m{"y": b64(strings.Repeat("\x01", 32))}), Want: wrong},
		{Name: "the point 0, 0", Change: jwk(m{"x": b64(strings.Repeat("\x00", 32)), "y": b64(strings.Repeat("\x00", 32))}), Want: wrong},
		{Name: "DPO-034 a zero octet too many", Change: func(s Scene, sent *Sent) {
			x, err := base64.RawURLEncoding.DecodeString(s.Key.JWK["x"].(string))
			require.NoError(s.T, err)
			jwk(m{"x": b64("\x00" + string(x))})(s, sent)
		}, Want: wrong},
		{Name: "a coordinate with padding", Change: func(s Scene, sent *Sent) { jwk(m{"x": s.Key.JWK["x"].(string) + "="})(s, sent) }, Want: wrong},
		{Name: "an Ed25519 key of small order", Bound: thumbprint(weakEd25519), Change: proof(func(s Scene, _ string) string {
			return b64(`{"typ":"dpop+jwt","alg":"EdDSA","jwk":`+weakEd25519+`}`) + "." + b64(s.claims(same)) + "." + b64("\x01"+strings.Repeat("\x00", 63)) // R is 1, S is 0
		}), Want: wrong},
		{Name: "an RSA key with the exponent 1", Bound: func(s Scene) map[string]any { return thumbprint(weakRSA(s))(s) }, Change: proof(func(s Scene, _ string) string {
			return b64(`{"typ":"dpop+jwt","alg":"RS256","jwk":`+weakRSA(s)+`}`) + "." + b64(s.claims(same)) + "." + b64(strings.Repeat("\x00", 256))
		}), Want: wrong},
		{Name: "a point off the curve that the token is bound to", Bound: thumbprint(offCurve), Change: proof(func(s Scene, _ string) string {
			return b64(`{"typ":"dpop+jwt","alg":"ES256","jwk":`+offCurve+`}`) + "." + b64(s.claims(same)) + "." + b64(strings.Repeat("\x01", 64))
		}), Want: wrong},
		{Name: "DPO-035 another key signs", Change: proof(func(s Scene, _ string) string {
			return s.Other.Sign(s.T, m{"jwk": s.Key.JWK}, s.Claims())
		}), Want: wrong},
		{Name: "a bit of the signature flipped", Change: signature(func(sig []byte) []byte { sig[3] ^= 1; return sig }), Want: wrong},
		{Name: "no signature", Change: signature(func([]byte) []byte { return nil }), Want: wrong},
		{Name: "W2-041 63 bytes", Change: signature(func(sig []byte) []byte { return sig[:63] }), Want: wrong},
		{Name: "65 bytes", Change: signature(func(sig []byte) []byte { return append(sig, 0) }), Want: wrong},
		{Name: "r is 0", Change: signature(func(sig []byte) []byte { return append(make([]byte, 32), sig[32:]...) }), Want: wrong},
		{Name: "s is 0", Change: signature(func(sig []byte) []byte { return append(sig[:32], make([]byte, 32)...) }), Want: wrong},
		{Name: "a signature in DER", Change: signature(func(sig []byte) []byte {
			der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])})
			if err != nil {
				panic(err)
			}
			return der
		}), Want: wrong},
		{Name: "a claim changed after signing", Change: proof(func(s Scene, valid string) string {
			p := strings.Split(valid, ".")
			return p[0] + "." + b64(s.claims(same)) + "." + p[2]
		}), Want: wrong},

		{Name: "W2-042 a good proof of another key", Change: proof(func(s Scene, _ string) string { return s.Other.Sign(s.T, nil, s.Claims()) }), Want: unbound},
		{Name: "W2-043, DPO-079 jkt with padding", Bound: jkt(func(jkt string) any { return jkt + "=" }), Want: unbound},
		{Name: "jkt in capitals", Bound: jkt(func(jkt string) any { return strings.ToUpper(jkt) }), Want: unbound},
		{Name: "jkt of 31 bytes", Bound: jkt(func(jkt string) any { return jkt[:42] }), Want: unbound},
		{Name: "jkt with a line break", Bound: jkt(func(jkt string) any { return jkt[:20] + "\n" + jkt[20:42] }), Want: unbound},
		{Name: "jkt in hexadecimal", Bound: jkt(func(jkt string) any {
			sum, _ := base64.RawURLEncoding.DecodeString(jkt)
			return hex.EncodeToString(sum)
		}), Want: unbound},
		{Name: "W2-154 a further member of cnf", Bound: func(s Scene) map[string]any { return m{"jkt": s.Key.Thumbprint, "x": "y"} }, Want: unbound},
		{Name: "another member of cnf", Bound: func(s Scene) map[string]any { return m{"jwk": s.Key.JWK} }, Want: unbound},
	}
}

func claimRows() []Row {
	var rows []Row
	for _, claim := range []string{"jti", "htm", "htu", "iat", "ath"} {
		rows = append(rows, // DPO-016, DPO-017, DPO-019, DPO-090
			Row{Name: "W2-050 no " + claim, Claims: m{claim: kit.Absent}, Want: wrong},
			Row{Name: claim + " is null", Claims: m{claim: nil}, Want: wrong},
			Row{Name: claim + " is empty", Claims: m{claim: ""}, Want: wrong},
			Row{Name: claim + " is an array", Change: proof(func(s Scene, _ string) string { return s.with(nil, m{claim: []any{s.Claims()[claim]}}) }), Want: wrong},
			Row{Name: claim + " twice, the right one last", Change: proof(func(s Scene, _ string) string {
				return s.Key.SignText(s.T, s.header(same), s.claims(func(text string) string { return `{"` + claim + `":"x",` + text[1:] }))
			}), Want: wrong},
			Row{Name: claim + " twice, the right one first", Change: proof(func(s Scene, _ string) string {
				return s.Key.SignText(s.T, s.header(same), s.claims(func(text string) string { return text[:len(text)-1] + `,"` + claim + `":"x"}` }))
			}), Want: wrong},
			Row{Name: claim + " in capitals", Change: proof(func(s Scene, _ string) string {
				return s.with(nil, m{claim: kit.Absent, strings.ToUpper(claim): s.Claims()[claim]})
			}), Want: wrong},
		)
		if claim != "iat" {
			rows = append(rows, Row{Name: claim + " is a number", Claims: m{claim: 1}, Want: wrong}) // DPO-058
		}
	}
	hash := func(made func(s Scene, sum [32]byte) any) func(Scene, *Sent) {
		return proof(func(s Scene, _ string) string { return s.with(nil, m{"ath": made(s, sha256.Sum256([]byte(s.Token)))}) })
	}
	claims := func(text string) func(Scene, *Sent) {
		return proof(func(s Scene, _ string) string { return s.Key.SignText(s.T, s.header(same), text) })
	}
	return append(rows, []Row{
		{Name: "W2-013 the claims are null", Change: claims("null"), Want: wrong},
		{Name: "the claims are an array", Change: claims("[]"), Want: wrong},
		{Name: "the claims are nothing", Change: claims(""), Want: wrong},
		{Name: "the claims are empty", Change: claims("{}"), Want: wrong},
		{Name: "W2-014 bad UTF-8 in jti", Change: proof(func(s Scene, _ string) string {
			return s.Key.SignText(s.T, s.header(same), s.claims(func(text string) string { return strings.Replace(text, `"jti":"`, `"jti":"`+"\xff", 1) }))
		}), Want: wrong},
		{Name: "half a surrogate in jti", Change: proof(func(s Scene, _ string) string {
			return s.Key.SignText(s.T, s.header(same), s.claims(func(text string) string { return strings.Replace(text, `"jti":"`, `"jti":"\ud800`, 1) }))
		}), Want: wrong},
		{Name: "W2-052 jti of 257 bytes", Claims: m{"jti": strings.Repeat("x", 257)}, Want: wrong},
		{Name: "W2-053 htm of another method", Claims: m{"htm": "PUT"}, Want: wrong},
		{Name: "DPO-038 htm in small letters", Change: proof(func(s Scene, _ string) string { return s.with(nil, m{"htm": strings.ToLower(s.Method)}) }), Want: wrong},
		{Name: "htm with a space", Change: proof(func(s Scene, _ string) string { return s.with(nil, m{"htm": s.Method + " "}) }), Want: wrong},
		{Name: "htu of another host", Claims: m{"htu": "https://evil.test/"}, Want: wrong},
		{Name: "DPO-053 htu relative", Claims: m{"htu": "/"}, Want: wrong},
		{Name: "htu with more", Change: proof(func(s Scene, _ string) string { return s.with(nil, m{"htu": s.URL + "x"}) }), Want: wrong},
		{Name: "W2-057 ath of another token", Claims: m{"ath": kit.TokenHash("another")}, Want: wrong},
		{Name: "ath of the token and a line break", Change: proof(func(s Scene, _ string) string { return s.with(nil, m{"ath": kit.TokenHash(s.Token + "\n")}) }), Want: wrong},
		{Name: "W2-058 ath of the encoded token", Change: proof(func(s Scene, _ string) string { return s.with(nil, m{"ath": kit.TokenHash(b64(s.Token))}) }), Want: wrong},
		{Name: "DPO-077 ath with padding", Change: hash(func(s Scene, sum [32]byte) any { return base64.URLEncoding.EncodeToString(sum[:]) }), Want: wrong},
		{Name: "ath in hexadecimal", Change: hash(func(s Scene, sum [32]byte) any { return hex.EncodeToString(sum[:]) }), Want: wrong},
		{Name: "ath in the standard alphabet", Change: hash(func(s Scene, sum [32]byte) any { return base64.StdEncoding.EncodeToString(sum[:]) }), Want: wrong},
		{Name: "ath of SHA-512", Change: hash(func(s Scene, _ [32]byte) any {
			sum := sha512.Sum512([]byte(s.Token))
			return base64.RawURLEncoding.EncodeToString(sum[:])
		}), Want: wrong},
		{Name: "W2-059 a token with the proof for another one", Change: func(s Scene, sent *Sent) {
			sent.Proofs = []string{s.Key.Sign(s.T, nil, s.Key.Claims(s.Method, s.URL, s.Token+"2", s.Now))}
		}, Want: wrong},
		{Name: "W2-060, DPO-067 exp has passed", Change: proof(func(s Scene, _ string) string { return s.with(nil, m{"exp": s.Now.Unix() - 5}) }), Want: wrong},
		{Name: "nbf in an hour", Change: proof(func(s Scene, _ string) string { return s.with(nil, m{"nbf": s.Now.Unix() + 3600}) }), Want: wrong},
		{Name: "exp is a string", Claims: m{"exp": "soon"}, Want: wrong},
		{Name: "W2-107, DPO-083 nonce is a number", Claims: m{"nonce": 1}, Want: wrong},
		{Name: "nonce is an array", Claims: m{"nonce": []string{"a"}}, Want: wrong},
		{Name: "DPO-062 iat an hour old", Change: proof(func(s Scene, _ string) string { return s.with(nil, m{"iat": s.Now.Unix() - 3600}) }), Want: wrong},
		{Name: "DPO-063 iat in an hour", Change: proof(func(s Scene, _ string) string { return s.with(nil, m{"iat": s.Now.Unix() + 3600}) }), Want: wrong},
		{Name: "W2-103 iat negative", Claims: m{"iat": -1}, Want: wrong},
		{Name: "iat is 0", Claims: m{"iat": 0}, Want: wrong},
		{Name: "iat beyond numbers", Claims: m{"iat": json.RawMessage("1e400")}, Want: wrong},
		{Name: "iat beyond years", Claims: m{"iat": int64(253402300800)}, Want: wrong},
		{Name: "iat is now", Claims: m{"iat": "now"}, Want: wrong},
		{Name: "an access token for a proof", Change: proof(func(s Scene, _ string) string {
			return s.Key.Sign(s.T, m{"typ": "at+jwt"}, s.Claims())
		}), Want: wrong},
	}...)
}

func schemes() []Row {
	return []Row{
		{Name: "W2-140 as Bearer, without a proof", Change: func(_ Scene, sent *Sent) { sent.Scheme, sent.Proofs = "Bearer", nil }, Want: unbound},
		{Name: "as Bearer, with a proof", Change: func(_ Scene, sent *Sent) { sent.Scheme = "Bearer" }, Want: unbound},
		{Name: "W2-142 an unbound token as DPoP, with a proof", Bound: notBound, Want: unbound},
		{Name: "W2-143 an unbound token as Bearer, with a stray proof", Bound: notBound, Change: func(_ Scene, sent *Sent) { sent.Scheme = "Bearer" }},
		{Name: "an unbound token as Bearer, with stray junk", Bound: notBound, Change: func(_ Scene, sent *Sent) { sent.Scheme, sent.Proofs = "Bearer", []string{"x", ""} }},
	}
}

// Resigned is the same header and claims under another signature: a new one, and the one
// that anybody makes of (r, s) by r and n - s.
func Resigned(s Scene, valid string) []string {
	p := strings.Split(valid, ".")
	header, err := base64.RawURLEncoding.DecodeString(p[0])
	require.NoError(s.T, err)
	payload, err := base64.RawURLEncoding.DecodeString(p[1])
	require.NoError(s.T, err)
	again, err := jose.Sign(s.Key.Alg, s.Key.Key, header, payload)
	require.NoError(s.T, err)
	sig, err := base64.RawURLEncoding.DecodeString(p[2])
	require.NoError(s.T, err)
	order := s.Key.Key.(*ecdsa.PrivateKey).Curve.Params().N
	new(big.Int).Sub(order, new(big.Int).SetBytes(sig[32:])).FillBytes(sig[32:])
	return []string{again, p[0] + "." + p[1] + "." + base64.RawURLEncoding.EncodeToString(sig)}
}
