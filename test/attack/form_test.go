package attack_test

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bearergate/bearergate/jwtverify"
)

// serRows attack the serialization: RFC 7515 §5.2 and §7, RFC 7519 §7.2.
func serRows() []row {
	// A token that this issuer did sign, but that is of no use here.
	old := valid().clm("exp", at(-9999)).clm("aud", `"https://other.example.com/"`)
	forged := strings.Trim(valid().body.String(), "{}")
	as := func(format string) func(h, p, s string) string { // {h}, {p} and {s} are the three parts
		return func(h, p, s string) string {
			return strings.NewReplacer("{h}", h, "{p}", p, "{s}", s, "{forged}", forged).Replace(format)
		}
	}
	padded := func(s string) string { return s + strings.Repeat("=", (4-len(s)%4)%4) }
	// trailing makes the bits that the last character of a part has left over non-zero.
	trailing := func(s string) string {
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		return s[:len(s)-1] + string(alphabet[strings.IndexByte(alphabet, s[len(s)-1])+1])
	}
	uneven := func(text string) string { // a payload or header whose base64url ends with unused bits
		for len(text)%3 == 0 {
			text += " "
		}
		return text
	}
	v := valid()
	vh, vp := v.texts()
	std := func(s string) string { return base64.StdEncoding.EncodeToString(unb64(s)) }
	return []row{
		// req: R8725-13
		r("SER-001", "flattened JSON", valid().then(as(`{"protected":"{h}","payload":"{p}","signature":"{s}"}`)), bad(malformed)),
		r("SER-002", "general JSON", valid().then(as(`{"payload":"{p}","signatures":[{"protected":"{h}","signature":"{s}"}]}`)), bad(malformed)),
		r("SER-003", "flattened JSON with claims beside it", old.then(as(`{"protected":"{h}","payload":"{p}","signature":"{s}",{forged}}`)), bad(malformed)),
		r("SER-004", "general JSON with claims beside it", old.then(as(`{{forged},"payload":"{p}","signatures":[{"protected":"{h}","signature":"{s}"}]}`)), bad(malformed)),
		r("SER-005", "flattened JSON with an unprotected header", valid().then(as(`{"header":{"alg":"RS256","kid":"r1"},"protected":"{h}","payload":"{p}","signature":"{s}"}`)), bad(malformed)),
		r("SER-006", "flattened JSON in base64url", valid().then(func(h, p, s string) string {
			return b64(as(`{"protected":"{h}","payload":"{p}","signature":"{s}"}`)(h, p, s))
		}), bad(malformed)),
		r("SER-007", "a polyglot", old.then(as(`{"  {h}.`+b64(vp)+`.":"","protected":"{h}","payload":"{p}","signature":"{s}"}`)), bad(malformed)),
		r("SER-007b", "a polyglot of base64url alone", old.then(as(`{h}.`+b64(vp)+`.{p}.{s}`)), bad(malformed)),
		r("SER-008", "general JSON, the second signature good", valid().then(as(`{"payload":"{p}","signatures":[{"protected":"{h}","signature":"AAAA"},{"protected":"{h}","signature":"{s}"}]}`)), bad(malformed)),
		r("SER-009", "general JSON without signatures", valid().then(as(`{"payload":"{p}","signatures":[]}`)), bad(malformed)),
		r("SER-010", "flattened JSON without payload", valid().then(as(`{"protected":"{h}","signature":"{s}"}`)), bad(malformed)),
		r("SER-011", "the claims as JSON", v.then(func(string, string, string) string { return vp }), bad(malformed)),
		r("SER-011b", "the claims in base64url", v.then(func(_, p, _ string) string { return p }), bad(malformed)),
		r("SER-011c", "the claims between two dots", v.then(as(".{p}.")), bad(malformed)),
		// req: R7515-07
		r("SER-012", "1 part", valid().then(as("{h}")), bad(malformed)),
		r("SER-013", "2 parts", valid().then(as("{h}.{p}")), bad(malformed)),
		r("SER-013b", "2 parts and a dot: no signature", valid().then(as("{h}.{p}.")), bad(signature)),
		r("SER-014", "4 parts", valid().then(as("{h}.{p}.{s}.{s}")), bad(malformed)),
		r("SER-014b", "5 parts", valid().then(as("{h}.{p}.{s}.{s}.{s}")), bad(malformed)),
		r("SER-015", "a dot at the end", valid().then(as("{h}.{p}.{s}.")), bad(malformed)),
		r("SER-016", "a dot at the beginning", valid().then(as(".{h}.{p}.{s}")), bad(malformed)),
		r("SER-016b", "an empty header", valid().then(as(".{p}.{s}")), bad(malformed)),
		r("SER-016c", "an empty header, signed", valid().header(""), bad(malformed)),
		r("SER-017", "an empty payload", valid().then(as("{h}..{s}")), bad(malformed)),
		r("SER-017b", "an empty payload, signed (RFC 7515 appendix F)", valid().payload(""), bad(malformed)),
		r("SER-018", "two dots", "..", bad(malformed)),
		r("SER-018b", "one dot", ".", bad(malformed)),
		r("SER-018c", "two dots in a row", valid().then(as("{h}..{p}.{s}")), bad(malformed)),
		r("SER-018d", "the parts in another order", valid().then(as("{p}.{h}.{s}")), bad(malformed)),
		r("SER-019", "100 000 dots", strings.Repeat(".", 100_000), bad(tooLarge)),
		r("SER-019b", "16 384 dots", strings.Repeat(".", 16<<10), bad(malformed)),
		r("SER-019c", "100 000 dots under a limit of 1 MiB", strings.Repeat(".", 100_000), bad(malformed), conf(func(c *jwtverify.Config) { c.MaxTokenBytes = 1 << 20 })),
		// req: R7515-08
		r("SER-020", "padding of the signature", valid().then(func(h, p, s string) string { return h + "." + p + "." + padded(s) }), bad(malformed)),
		r("SER-020b", "padding that is not due", from(e1()).then(as("{h}.{p}.{s}=")), bad(malformed)),
		r("SER-021", "padding of the payload", v.payload(uneven(vp)).then(func(h, p, s string) string { return h + "." + padded(p) + "." + s }), bad(malformed)),
		r("SER-022", "padding of the payload, signed", v.payload(uneven(vp)).encoded(func(h, p string) (string, string) { return h, padded(p) }), bad(malformed)),
		r("SER-023", "padding of the header", v.header(uneven(vh)).then(func(h, p, s string) string { return padded(h) + "." + p + "." + s }), bad(malformed)),
		r("SER-024", "padding of the header, signed", v.header(uneven(vh)).encoded(func(h, p string) (string, string) { return padded(h), p }), bad(malformed)),
		r("SER-025", "the standard alphabet in the signature", valid().until(func(sig []byte) bool { return strings.ContainsAny(b64(string(sig)), "-_") }).
			then(func(h, p, s string) string { return h + "." + p + "." + strings.TrimRight(std(s), "=") }), bad(malformed)),
		r("SER-026", "the standard alphabet in the payload, signed", v.clm("x", `"???>>>~~~"`).encoded(func(h, p string) (string, string) { return h, strings.TrimRight(std(p), "=") }), bad(malformed)),
		r("SER-026b", "the standard alphabet in the header, signed", v.hdr("x", `"???>>>~~~"`).hdr("y", `"?>~?>~"`).encoded(func(h, p string) (string, string) { return strings.TrimRight(std(h), "="), p }), bad(malformed)),
		r("SER-027", "trailing bits in the signature", from(e1()).then(func(h, p, s string) string { return h + "." + p + "." + trailing(s) }), bad(malformed)),
		r("SER-028", "trailing bits in the payload", v.payload(uneven(vp)).then(func(h, p, s string) string { return h + "." + trailing(p) + "." + s }), bad(malformed)),
		r("SER-028b", "trailing bits in the payload, signed", v.payload(uneven(vp)).encoded(func(h, p string) (string, string) { return h, trailing(p) }), bad(malformed)),
		r("SER-029", "trailing bits in the header", v.header(uneven(vh)).then(func(h, p, s string) string { return trailing(h) + "." + p + "." + s }), bad(malformed)),
		r("SER-029b", "trailing bits in the header, signed", v.header(uneven(vh)).encoded(func(h, p string) (string, string) { return trailing(h), p }), bad(malformed)),
		r("SER-030", "one character too many in the signature", from(e1()).then(as("{h}.{p}.{s}AAA")), bad(malformed)),
		r("SER-030b", "one character too few in the signature", from(e1()).then(func(h, p, s string) string { return h + "." + p + "." + s[:len(s)-1] }), bad(malformed)),
		r("SER-031", "LF inside the signature", valid().then(func(h, p, s string) string { return h + "." + p + "." + s[:9] + "\n" + s[9:] }), bad(malformed)),
		r("SER-031b", "CR LF inside the signature", valid().then(func(h, p, s string) string { return h + "." + p + "." + s[:9] + "\r\n " + s[9:] }), bad(malformed)),
		r("SER-031c", "LF after the signature", valid().then(as("{h}.{p}.{s}\n")), bad(malformed), overHTTP(ok)), // net/http takes it for the end of the line
		r("SER-031d", "CR inside the header", valid().then(func(h, p, s string) string { return h[:5] + "\r" + h[5:] + "." + p + "." + s }), bad(malformed)),
		r("SER-032", "LF inside the payload, signed", valid().encoded(func(h, p string) (string, string) { return h, p[:9] + "\n" + p[9:] }), bad(malformed)),
		r("SER-032b", "LF inside the header, signed", valid().encoded(func(h, p string) (string, string) { return h[:9] + "\n" + h[9:], p }), bad(malformed)),
		r("SER-033", "a space inside the payload", valid().then(func(h, p, s string) string { return h + "." + p[:9] + " " + p[9:] + "." + s }), bad(malformed)),
		r("SER-033b", "a space inside the payload, signed", valid().encoded(func(h, p string) (string, string) { return h, p[:9] + " " + p[9:] }), bad(malformed)),
		r("SER-034", "a space before the token", valid().then(as(" {h}.{p}.{s}")), bad(malformed), overHTTP(ok)),
		r("SER-035", "a tab inside the header", valid().then(func(h, p, s string) string { return h[:5] + "\t" + h[5:] + "." + p + "." + s }), bad(malformed), overHTTP(badRequest)),
		r("SER-036", "NUL after the token", valid().then(as("{h}.{p}.{s}\x00")), bad(malformed)),
		r("SER-037", "a byte above ASCII inside the payload", valid().then(func(h, p, s string) string { return h + "." + p[:9] + "\xff" + p[9:] + "." + s }), bad(malformed)),
		r("SER-038", "a full-width dot", valid().then(as("{h}.{p}．{s}")), bad(malformed)),
		r("SER-039", "the scheme inside the token", valid().then(as("Bearer {h}.{p}.{s}")), bad(malformed)),
		r("SER-040", "the token in double quotes", valid().then(as(`"{h}.{p}.{s}"`)), bad(malformed)),
		r("SER-040b", "the token in single quotes", valid().then(as(`'{h}.{p}.{s}'`)), bad(malformed)),
		r("SER-041", "a payload encoded twice", v.payload(b64(vp)), bad(malformed)),
		r("SER-041b", "a header encoded twice", v.header(b64(vh)), bad(malformed)),
		r("SER-042", "percent-encoded dots", valid().then(as("{h}%2E{p}%2E{s}")), bad(malformed)),
		r("SER-043", "tildes of an SD-JWT", valid().then(as("{h}.{p}.{s}~")), bad(malformed)),
		r("SER-043b", "a disclosure of an SD-JWT", valid().then(as("{h}.{p}.{s}~WyJhIiwiYiIsImMiXQ~")), bad(malformed)),
		r("SER-044", "the token twice", valid().then(as("{h}.{p}.{s}{h}.{p}.{s}")), bad(malformed)),
		r("SER-045", "a payload that is a string", v.payload(strconv.Quote(b64(vp))), bad(malformed)),
		r("SER-046", "hexadecimal", fmt.Sprintf("%x", valid().token()), bad(malformed)),
		r("SER-047", "a PASETO", "v4.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIn0", bad(malformed)),
		r("SER-048", "the middle of one token and the signature of another", valid().then(as("{h}."+b64(vp)+".{s}")), bad(signature)),
		r("SER-049", "an unencoded payload (RFC 7797)", v.encoded(func(h, _ string) (string, string) { return h, "x" }), bad(malformed)),
	}
}

// algRows attack alg: RFC 8725 §2.1, §3.1 and §3.2.
func algRows() []row {
	named := func(alg string) jwt { return valid().hdr("alg", alg) }
	unsigned := func(alg string) jwt { return named(alg).then(func(h, p, _ string) string { return h + "." + p + "." }) }
	var rows []row
	// req: R7519-12, R8725-02, R9068-05
	for i, alg := range []string{"none", "None", "NONE", "nOnE", "nonE", "NonE"} {
		rows = append(rows, r(fmt.Sprintf("ALG-%03d", i+1), "alg "+alg+" without a signature", unsigned(strconv.Quote(alg)), bad(algorithm)))
	}
	for i, alg := range []string{`" none"`, `"none "`, `"none\u0000"`, `"\tnone"`, `"none\n"`, `"ｎone"`} {
		rows = append(rows, r(fmt.Sprintf("ALG-007%c", 'a'+i), "alg none with padding: "+alg, unsigned(alg), bad(algorithm)))
	}
	rows = append(rows,
		r("ALG-008", "alg none with the signature of r1", named(`"none"`), bad(algorithm)),
		r("ALG-008b", "alg none with any signature", named(`"none"`).signed(fixed(make([]byte, 256))), bad(algorithm)),
		r("ALG-008c", "alg none without kid", unsigned(`"none"`).noHdr("kid"), bad(algorithm)),
		r("ALG-008d", "alg none in two parts", named(`"none"`).then(func(h, p, _ string) string { return h + "." + p }), bad(malformed)),
		r("ALG-008e", "alg none, and Config accepts everything that exists", unsigned(`"none"`), bad(algorithm), conf(func(c *jwtverify.Config) {
			c.Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
		})),
		r("ALG-009", "no alg", valid().noHdr("alg"), bad(malformed)),
		r("ALG-010", "alg empty", named(`""`), bad(malformed)),
		r("ALG-011", "alg a number", named(`256`), bad(malformed)),
		r("ALG-012", "alg null", named(`null`), bad(malformed)),
		r("ALG-012b", "alg true", named(`true`), bad(malformed)),
		r("ALG-013", "alg an array", named(`["RS256"]`), bad(malformed)),
		r("ALG-013b", "alg an object", named(`{"RS256":1}`), bad(malformed)),
		r("ALG-014", "ALG instead of alg", valid().header(`{"ALG":"RS256","typ":"at+jwt","kid":"r1"}`), bad(malformed)),
		r("ALG-014b", "Alg instead of alg", valid().header(`{"Alg":"RS256","typ":"at+jwt","kid":"r1"}`), bad(malformed)),
		r("ALG-014c", "ALG none beside alg RS256", valid().hdr("ALG", `"none"`), ok),
		r("ALG-015", "alg in lower case", named(`"rs256"`), bad(algorithm)),
		r("ALG-015b", "alg with a space", named(`"RS256 "`), bad(algorithm)),
		r("ALG-015c", "alg with NUL", named(`"RS256\u0000"`), bad(algorithm)),
		r("ALG-015d", "alg in full-width letters", named(`"ＲS256"`), bad(algorithm)),
	)

	// req: R7515-14: the public key as the secret of an HMAC
	pub := r1().rsa().PublicKey
	spki := must(x509.MarshalPKIXPublicKey(&pub))
	pkcs1 := x509.MarshalPKCS1PublicKey(&pub)
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	cert := certificate(&pub, r1())
	ecSPKI := must(x509.MarshalPKIXPublicKey(e1().priv.Public()))
	x, y := e1().point()
	for _, a := range []struct{ id, what, secret, kid string }{
		{"016", "the SPKI in PEM", block("PUBLIC KEY", spki), "r1"},
		{"017", "the SPKI in PEM without its last line feed", strings.TrimSpace(block("PUBLIC KEY", spki)), "r1"},
		{"017b", "the SPKI in PEM with CR LF", strings.ReplaceAll(block("PUBLIC KEY", spki), "\n", "\r\n"), "r1"},
		{"018", "the SPKI in DER", string(spki), "r1"},
		{"019", "the PKCS #1 key in PEM", block("RSA PUBLIC KEY", pkcs1), "r1"},
		{"020", "the PKCS #1 key in DER", string(pkcs1), "r1"},
		{"021", "the key as OpenSSH writes it", openSSH(pub.E, pub.N), "r1"},
		{"022", "the octets of n", string(pub.N.Bytes()), "r1"},
		{"023", "n in base64url", b64(string(pub.N.Bytes())), "r1"},
		{"023b", "n in hexadecimal", fmt.Sprintf("%x", pub.N), "r1"},
		{"024", "the JWK as served", r1().jwk().String(), "r1"},
		{"025", "the whole set as served", defaultSet(), "r1"},
		{"026", "nothing", "", "r1"},
		{"027", "one NUL", "\x00", "r1"},
		{"027b", "32 NULs", strings.Repeat("\x00", 32), "r1"},
		{"027c", "the kid", "r1", "r1"},
		{"027d", "the issuer", issuer, "r1"},
		{"027e", "the word secret", "secret", "r1"},
		{"028", "a certificate of the key in PEM", block("CERTIFICATE", cert), "r1"},
		{"028b", "a certificate of the key in DER", string(cert), "r1"},
		{"029", "the SPKI of the EC key in PEM", block("PUBLIC KEY", ecSPKI), "e1"},
		{"029b", "the SPKI of the EC key in DER", string(ecSPKI), "e1"},
		{"030", "x of the EC key", string(x.FillBytes(make([]byte, 32))), "e1"},
		{"030b", "the point of the EC key", "\x04" + string(pair(x, y, 32)), "e1"},
		{"031", "x of the Ed25519 key", string(must(x509.MarshalPKIXPublicKey(ed1().priv.Public()))[12:]), "ed1"},
	} {
		rows = append(rows, r("ALG-"+a.id, "HS256 with "+a.what, named(`"HS256"`).hdr("kid", strconv.Quote(a.kid)).signed(mac([]byte(a.secret))), bad(algorithm)))
	}

	both := func(c *jwtverify.Config) {
		c.Algorithms = []string{"RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"}
	}
	return append(rows,
		r("ALG-031b", "HS256 with the key as served, under alg RS256", valid().signed(mac([]byte(block("PUBLIC KEY", spki)))), bad(signature)),
		r("ALG-031c", "HS256, no kid", named(`"HS256"`).noHdr("kid").signed(mac(spki)), bad(algorithm)),
		r("ALG-031d", "HS256, and an oct key in the set", named(`"HS256"`).hdr("kid", `"o"`).signed(mac([]byte("k"))), bad(algorithm), keys(r1().jwk(), raw(`{"kty":"oct","kid":"o","alg":"HS256","k":"aw"}`))),
		r("ALG-032", "alg HS256, the signature by r1", named(`"HS256"`), bad(algorithm)),
		r("ALG-032b", "alg HS384", named(`"HS384"`).signed(mac(spki)), bad(algorithm)),
		r("ALG-032c", "alg HS512", named(`"HS512"`).signed(mac(spki)), bad(algorithm)),
		// req: R8725-01: each key with exactly the algorithm it names
		r("ALG-033", "alg PS256, signed with RS256 by r1", named(`"PS256"`), bad(unknownKey)),
		r("ALG-033b", "alg PS256 with kid p1, signed with RS256 by p1", from(p1()).signedBy(p1().as("p1", "RS256")), bad(signature)),
		r("ALG-033c", "alg PS256, signed with PS256 by r1 whose JWK says RS256", from(r1().as("r1", "PS256")), bad(unknownKey)),
		r("ALG-034", "alg RS256, signed with PS256 by r1", valid().signedBy(r1().as("r1", "PS256")), bad(signature)),
		r("ALG-035", "alg RS256, signed with RS256 by p1 whose JWK says PS256", from(p1().as("p1", "RS256")), bad(unknownKey)),
		r("ALG-036", "alg RS512, signed with RS512 by r1", from(r1().as("r1", "RS512")), bad(algorithm)),
		r("ALG-036b", "alg RS512, and Config accepts it, but the JWK says RS256", from(r1().as("r1", "RS512")), bad(unknownKey), conf(both)),
		r("ALG-036c", "alg RS512, Config accepts it and the JWK says nothing", from(r1().as("r1", "RS512")), ok, conf(both), keys(r1().jwk().del("alg"))),
		r("ALG-036d", "alg RS256, signed with RS512, the JWK says nothing", valid().signedBy(r1().as("r1", "RS512")), bad(signature), conf(both), keys(r1().jwk().del("alg"))),
		r("ALG-037", "alg PS512, signed so by p1", from(p1().as("p1", "PS512")), bad(algorithm)),
		r("ALG-038", "alg ES256K, and a secp256k1 key in the set", from(e1()).hdr("alg", `"ES256K"`).hdr("kid", `"k"`), bad(algorithm), keys(r1().jwk(), secp256k1("k"))),
		r("ALG-038b", "alg ES256 with a secp256k1 key", from(e1()).hdr("kid", `"k"`), bad(unknownKey), keys(r1().jwk(), secp256k1("k"))),
		r("ALG-039", "alg ES384 with kid e1", from(e1()).hdr("alg", `"ES384"`), bad(algorithm)),
		// A signature that is not as long as its alg has it comes before the key, which is not looked for.
		r("ALG-039b", "alg ES384 with kid e1, and Config accepts it", from(e1()).hdr("alg", `"ES384"`), bad(signature), conf(both)),
		r("ALG-039c", "alg ES256 with a P-384 key", from(e384()).hdr("alg", `"ES256"`), bad(signature), conf(both), keys(e384().jwk().del("alg"))),
		r("ALG-039d", "alg ES384 with a P-521 key", from(e521()).hdr("alg", `"ES384"`), bad(signature), conf(both), keys(e521().jwk().del("alg"))),
		r("ALG-039f", "alg ES384 with kid e1, and a signature of that length", from(e1()).hdr("alg", `"ES384"`).signed(fixed(make([]byte, 96))), bad(unknownKey), conf(both)),
		r("ALG-039g", "alg ES256 with a P-384 key, and a signature of that length", from(e384()).hdr("alg", `"ES256"`).signed(fixed(make([]byte, 64))), bad(unknownKey), conf(both), keys(e384().jwk().del("alg"))),
		r("ALG-039h", "alg ES384 with a P-521 key, and a signature of that length", from(e521()).hdr("alg", `"ES384"`).signed(fixed(make([]byte, 96))), bad(unknownKey), conf(both), keys(e521().jwk().del("alg"))),
		r("ALG-039e", "alg ES512 with a P-521 key", from(e521()), ok, conf(both), keys(e521().jwk())),
		r("ALG-040", "alg ES256 pointing at r1", from(e1()).hdr("kid", `"r1"`), bad(unknownKey)),
		r("ALG-041", "alg RS256 pointing at e1", valid().hdr("kid", `"e1"`), bad(unknownKey)),
		r("ALG-041b", "alg RS256 pointing at ed1", valid().hdr("kid", `"ed1"`), bad(unknownKey)),
		r("ALG-041c", "alg EdDSA pointing at r1", from(ed1()).hdr("kid", `"r1"`), bad(unknownKey)),
		r("ALG-041d", "alg EdDSA pointing at e1", from(ed1()).hdr("kid", `"e1"`), bad(unknownKey)),
		// req: R7517-06, R8725-14
		r("ALG-042", "alg Ed25519, the other name of EdDSA", from(ed1()).hdr("alg", `"Ed25519"`), ok),
		r("ALG-042b", "alg Ed25519, the key says Ed25519", from(ed1().as("ed1", "Ed25519")), ok, keys(ed1().as("ed1", "Ed25519").jwk())),
		r("ALG-042c", "alg EdDSA, the key says Ed25519", from(ed1()), ok, keys(ed1().as("ed1", "Ed25519").jwk())),
		r("ALG-042d", "alg EdDSA, and Config says Ed25519", from(ed1()), ok, conf(func(c *jwtverify.Config) { c.Algorithms = []string{"Ed25519"} })),
		r("ALG-042e", "alg Ed448", from(ed1()).hdr("alg", `"Ed448"`), bad(algorithm)),
		r("ALG-042f", "alg ed25519", from(ed1()).hdr("alg", `"ed25519"`), bad(algorithm)),
		r("ALG-042g", "alg Ed25519 pointing at e1", from(ed1()).hdr("alg", `"Ed25519"`).hdr("kid", `"e1"`), bad(unknownKey)),
		r("ALG-043", "alg RSA-OAEP", named(`"RSA-OAEP"`), bad(algorithm)),
		r("ALG-043b", "alg RSA1_5", named(`"RSA1_5"`), bad(algorithm)),
		r("ALG-043c", "alg RS1", named(`"RS1"`), bad(algorithm)),
		r("ALG-043d", "alg dir", named(`"dir"`), bad(algorithm)),
		r("ALG-043e", "alg PBES2-HS256+A128KW", named(`"PBES2-HS256+A128KW"`), bad(algorithm)),
		r("ALG-043f", "alg ML-DSA-65", named(`"ML-DSA-65"`), bad(algorithm)),
		r("ALG-043g", "alg of a Java class", named(`"SHA256withRSA"`), bad(algorithm)),
		r("ALG-044", "alg RS256, and Config accepts only ES256", valid(), bad(algorithm), conf(func(c *jwtverify.Config) { c.Algorithms = []string{"ES256"} })),
		r("ALG-045", "Config accepts none", nil, startup, conf(func(c *jwtverify.Config) { c.Algorithms = []string{"RS256", "none"} })),
		r("ALG-045b", "Config accepts HS256", nil, startup, conf(func(c *jwtverify.Config) { c.Algorithms = []string{"HS256"} })),
		r("ALG-045c", "Config accepts an empty name", nil, startup, conf(func(c *jwtverify.Config) { c.Algorithms = []string{""} })),
		r("ALG-045d", "Config accepts rs256", nil, startup, conf(func(c *jwtverify.Config) { c.Algorithms = []string{"rs256"} })),
	)
}

func openSSH(e int, n *big.Int) string {
	var b []byte
	for _, field := range [][]byte{[]byte("ssh-rsa"), big.NewInt(int64(e)).Bytes(), append([]byte{0}, n.Bytes()...)} {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
	}
	return "ssh-rsa " + base64.StdEncoding.EncodeToString(b)
}

// secp256k1 is the generator of that curve.
func secp256k1(kid string) object {
	return object{{`"kid"`, strconv.Quote(kid)}, {`"kty"`, `"EC"`}, {`"crv"`, `"secp256k1"`},
		{`"x"`, `"eb5mfvncu6xVoGKVzocLBwKb_NstzijZWfKBWxb4F5g"`}, {`"y"`, `"SDradyajxGVdpPv8DhEIqP0XtEimhVQZnEfQj_sQ1Lg"`}}
}

func fixed(sig []byte) func([]byte) []byte { return func([]byte) []byte { return sig } }

// kidRows attack the choice of the key: RFC 7515 §4.1.4, RFC 8725 §3.10.
func kidRows() []row {
	named := func(kid string) jwt { return valid().hdr("kid", kid) }
	var rows []row
	// req: R8725-10
	for i, kid := range []string{
		"../../../../dev/null", "/proc/sys/kernel/randomize_va_space", "' UNION SELECT 'key", "' OR 1=1 --", "|whoami", "$(sleep 10)",
		"*", "*)(uid=*))(|(uid=*", "r1\x00.pem", "\x1b[31m\u202er1", "${jndi:ldap://attacker.test/a}", "http://attacker.test/key",
		"file:///etc/passwd", "r1\r\nX-Injected: 1", "r１", "R1", "r1 ", "{{7*7}}", " r1", "r1\x00", "\ufeffr1", "r1,p1", "%72%31", "r1#", "./r1", "r1/", "null", "undefined", "0",
	} {
		rows = append(rows, r(fmt.Sprintf("KID-0%02d.x", i+1), "kid "+strconv.Quote(kid), named(jsonString(kid)), bad(unknownKey)))
	}
	dup := func(k key, kid string) object { return k.as(kid, k.alg).jwk() }
	five := []fmt.Stringer{dup(p1(), "d").del("alg"), dup(evilRSA(), "d"), dup(p1(), "d").set("alg", `"RS256"`), dup(evilRSA(), "d"), dup(r1(), "d")}
	return append(rows,
		// req: R7515-05
		r("KID-017", "kid a number", named(`1`), bad(malformed)),
		r("KID-018", "kid null", named(`null`), bad(malformed)),
		r("KID-018b", "kid true", named(`true`), bad(malformed)),
		r("KID-019", "kid an array", named(`["r1"]`), bad(malformed)),
		r("KID-020", "kid an object", named(`{"r1":1}`), bad(malformed)),
		r("KID-021", "kid of 257 bytes", named(strconv.Quote(strings.Repeat("k", 257))), bad(malformed)),
		r("KID-021b", "kid of 256 bytes", named(strconv.Quote(strings.Repeat("k", 256))), bad(unknownKey)),
		r("KID-021c", "kid of 129 letters of two bytes", named(strconv.Quote(strings.Repeat("ä", 129))), bad(malformed)),
		r("KID-021d", "kid of 10 000 bytes", named(strconv.Quote(strings.Repeat("k", 10_000))), bad(malformed)),
		r("KID-022", "kid empty", named(`""`), bad(malformed)),
		r("KID-022b", "kid empty, and a key without kid", named(`""`), bad(malformed), keys(r1().jwk().del("kid"))),
		// A rotation under way, as seen from a token that names no key: up to four keys are tried.
		r("KID-023", "no kid, two keys that fit the alg", valid().noHdr("kid"), ok, keys(dup(evilRSA(), "other"), r1().jwk())),
		r("KID-023c", "no kid, two keys that fit the alg, signed by neither", valid().noHdr("kid").signedBy(evilRSA()), bad(signature), keys(dup(p1(), "other").set("alg", `"RS256"`), r1().jwk())),
		r("KID-023d", "no kid, four keys that fit the alg", valid().noHdr("kid"), ok, keys(fitting(4)...)),
		r("KID-023e", "no kid, five keys that fit the alg: none is tried", valid().noHdr("kid"), bad(unknownKey), keys(fitting(5)...)),
		r("KID-023f", "no kid, five keys that fit the alg, a signature that is none", valid().noHdr("kid").signed(fixed(nil)), bad(signature), keys(fitting(5)...)),
		r("KID-023b", "no kid, and of two RSA keys one says another alg", valid().noHdr("kid"), ok, keys(r1().jwk(), p1().jwk())),
		r("KID-024", "no kid, one key with a kid", valid().noHdr("kid"), ok, keys(r1().jwk())),
		r("KID-024b", "no kid, one key, signed by another", valid().noHdr("kid").signedBy(evilRSA()), bad(signature), keys(r1().jwk())),
		r("KID-024c", "no kid, and no key that fits the alg", from(e1()).noHdr("kid"), bad(unknownKey), keys(r1().jwk())),
		r("KID-025", "no kid, one key without kid", valid().noHdr("kid"), ok, keys(r1().jwk().del("kid"))),
		// A server that publishes a key without kid does not name keys, whatever its tokens say.
		r("KID-026", "a kid, one key without kid", valid(), ok, keys(r1().jwk().del("kid"))),
		r("KID-026b", "a kid, one key without kid, signed by another", valid().signedBy(evilRSA()), bad(signature), keys(r1().jwk().del("kid"))),
		r("KID-026c", "a kid that a key of another alg has, one key without kid", named(`"e1"`), bad(unknownKey), keys(r1().jwk().del("kid"), e1().jwk())),
		r("KID-026d", "the kid of a key of the attacker, and ours without kid", valid().hdr("kid", `"evil"`), bad(signature), keys(dup(evilRSA(), "evil"), r1().jwk().del("kid"))),
		r("KID-026e", "a kid, five keys without kid: none is tried", valid().hdr("kid", `"x"`), bad(unknownKey), keys(r1().jwk().del("kid"), five[0].(object).del("kid"), five[1].(object).del("kid"), five[2].(object).del("kid"), five[1].(object).del("kid"))),
		r("KID-027", "KID instead of kid, five keys that fit", valid().noHdr("kid").hdr("KID", `"r1"`), bad(unknownKey), keys(fitting(5)...)),
		r("KID-028", "kid p1, signed by r1", named(`"p1"`), bad(unknownKey)),
		r("KID-028b", "the kid of another RSA key, signed by r1", named(`"other"`), bad(signature), keys(r1().jwk(), dup(evilRSA(), "other"))),
		r("KID-028c", "kid e1 with alg ES256, signed by another P-256 key", from(evilEC()), bad(signature)),
		r("KID-029", "an unknown kid", named(`"r2"`), bad(unknownKey)),
		r("KID-029b", "an unknown kid, keys from a cache", named(`"r2"`), bad(unknownKey), fetched),
		// req: R7517-03
		r("KID-030", "two RSA keys with one kid, the right one second", valid(), ok, keys(dup(evilRSA(), "r1"), r1().jwk())),
		r("KID-030b", "two RSA keys with one kid, the right one first", valid(), ok, keys(r1().jwk(), dup(evilRSA(), "r1"))),
		r("KID-030c", "two keys with one kid, neither of them right", valid().signedBy(evilRSA()), bad(signature), keys(r1().jwk(), dup(p1(), "r1").set("alg", `"RS256"`))),
		r("KID-030d", "five keys with one kid, the right one fourth", valid().hdr("kid", `"d"`), ok, keys(five[0], five[1], five[2], five[4], five[3])),
		r("KID-030e", "five keys with one kid, the right one fifth: four are tried", valid().hdr("kid", `"d"`), bad(signature), keys(five...)),
		// x5t and x5t#S256 choose among the issuer's keys, and nothing else (RFC 7515 §4.1.7).
		r("KID-032", "x5t of one key", by5t("x5t", "a"), ok, keys(certified(6, "a")...)),
		r("KID-032b", "x5t of other keys", by5t("x5t", "b"), bad(signature), keys(certified(4, "a")...)),
		r("KID-032k", "x5t of five keys: none is tried", by5t("x5t", "b"), bad(unknownKey), keys(certified(6, "a")...)),
		r("KID-032c", "x5t of no key", by5t("x5t", "z"), bad(unknownKey), keys(certified(6, "a")...)),
		r("KID-032d", "x5t of one key, signed by the attacker", by5t("x5t", "a").signedBy(evilRSA()), bad(signature), keys(certified(6, "a")...)),
		r("KID-032e", "x5t, and no key has any", by5t("x5t", "a"), ok, keys(fitting(4)...)),
		r("KID-032f", "x5t, no key has any, and five fit", by5t("x5t", "a"), bad(unknownKey), keys(fitting(5)...)),
		r("KID-032g", "x5t that is no thumbprint, two keys", valid().noHdr("kid").hdr("x5t", `17`), ok, keys(certified(2, "a")...)),
		r("KID-032h", "x5t that is no thumbprint, five keys", valid().noHdr("kid").hdr("x5t", `"!"`), bad(unknownKey), keys(certified(5, "a")...)),
		r("KID-032i", "x5t beside a kid", valid().hdr("x5t", strconv.Quote(b64(strings.Repeat("z", 20)))), ok, keys(certified(6, "a")...)),
		r("KID-033", "x5t#S256 of the certificate in x5c", valid().noHdr("kid").hdr("x5t#S256", strconv.Quote(b64(string(digest(crypto.SHA256, []byte("DER")))))), ok,
			keys(append(certified(6, "z"), r1().jwk().set("x5c", `["REVS"]`))...)),
		r("KID-033b", "x5t#S256 of the second certificate in x5c", valid().noHdr("kid").hdr("x5t#S256", strconv.Quote(b64(string(digest(crypto.SHA256, []byte("DER")))))), bad(unknownKey),
			keys(append(certified(6, "z"), r1().jwk().set("x5c", `["AAAA","REVS"]`))...)),
		r("KID-034", "x5c of the attacker in the header, and its thumbprint", by5t("x5t", "z").hdr("x5c", `["REVS"]`).signedBy(evilRSA()), bad(unknownKey), keys(certified(6, "a")...)),
		r("KID-034b", "x5u of the attacker in the header, and a thumbprint of ours", by5t("x5t", "a").hdr("x5u", `"https://attacker.test/x"`).signedBy(evilRSA()), bad(signature), keys(certified(6, "a")...)),
		r("KID-031", "one kid for an EC and an RSA key", valid(), ok, keys(dup(e1(), "r1"), r1().jwk())),
		r("KID-031b", "one kid for an EC and an RSA key, ES256", from(e1()).hdr("kid", `"r1"`), ok, keys(dup(e1(), "r1"), r1().jwk())),
	)
}

// fitting returns that many keys that fit RS256: r1 last, and the attacker's among the others.
func fitting(n int) []fmt.Stringer {
	var out []fmt.Stringer
	for i := range n - 1 {
		out = append(out, evilRSA().as(fmt.Sprint("other", i), "RS256").jwk())
	}
	return append(out, r1().jwk())
}

// certified is fitting, where each key has a certificate, and r1 that of the name.
func certified(n int, name string) []fmt.Stringer {
	out := fitting(n)
	for i := range out {
		of := "b"
		if i == n-1 {
			of = name
		}
		out[i] = out[i].(object).set("x5t", strconv.Quote(b64(strings.Repeat(of, 20)))).set("x5t#S256", strconv.Quote(b64(strings.Repeat(of, 32))))
	}
	return out
}

// by5t is a token that names its key by the thumbprint of a certificate.
func by5t(member, name string) jwt {
	return valid().noHdr("kid").hdr(member, strconv.Quote(b64(strings.Repeat(name, 20))))
}

// jsonString quotes as JSON, which strconv.Quote does for some strings only.
func jsonString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		if c < ' ' || c == '"' || c == '\\' {
			fmt.Fprintf(&b, `\u%04x`, c)
			continue
		}
		b.WriteRune(c)
	}
	return b.String() + `"`
}

// crtRows attack crit, b64 and zip: RFC 7515 §4.1.11, RFC 7797.
func crtRows() []row {
	crit := func(value string) jwt { return valid().hdr("crit", value) }
	// req: R7515-06, R7515-10, R8725-05 (the accepted case of crit is that of no crit: OK-006)
	return []row{
		r("CRT-001", "crit with an unknown name", crit(`["foo"]`).hdr("foo", `1`), bad(malformed)),
		r("CRT-002", "crit with a name that is not in the header", crit(`["foo"]`), bad(malformed)),
		r("CRT-003", "crit empty", crit(`[]`), bad(malformed)),
		r("CRT-004", "crit with a name of the base specification", crit(`["alg"]`), bad(malformed)),
		r("CRT-004b", "crit with kid and typ", crit(`["kid","typ"]`), bad(malformed)),
		r("CRT-005", "crit with exp, which is in the header too", crit(`["exp"]`).hdr("exp", at(1)), bad(malformed)),
		r("CRT-006", "crit a string", crit(`"foo"`), bad(malformed)),
		r("CRT-007", "crit null", crit(`null`), bad(malformed)),
		r("CRT-008", "crit a number", crit(`1`), bad(malformed)),
		r("CRT-009", "crit an object", crit(`{"foo":1}`), bad(malformed)),
		r("CRT-010", "crit true", crit(`true`), bad(malformed)),
		r("CRT-010b", "crit with numbers", crit(`[1]`), bad(malformed)),
		r("CRT-010c", "crit with a name twice", crit(`["foo","foo"]`).hdr("foo", `1`), bad(malformed)),
		r("CRT-010d", "crit with an empty name", crit(`[""]`).hdr("", `1`), bad(malformed)),
		r("CRT-011", "crit with an escape in its name", valid().addHdr(`"cri\u0074"`, `["foo"]`), bad(malformed)),
		r("CRT-012", "b64 true with crit", crit(`["b64"]`).hdr("b64", `true`), bad(malformed)),
		r("CRT-013", "b64 false with crit", crit(`["b64"]`).hdr("b64", `false`), bad(malformed)),
		r("CRT-014", "b64 false without crit", valid().hdr("b64", `false`), bad(malformed)),
		r("CRT-014b", "b64 true without crit", valid().hdr("b64", `true`), bad(malformed)),
		r("CRT-015", "b64 false, the payload unencoded", crit(`["b64"]`).hdr("b64", `false`).encoded(func(h, p string) (string, string) { return h, string(unb64(p)) }), bad(malformed)),
		r("CRT-015b", "b64 false, the signature over the unencoded payload", crit(`["b64"]`).hdr("b64", `false`).signed(func(input []byte) []byte {
			h, p, _ := strings.Cut(string(input), ".")
			return r1().sign([]byte(h + "." + string(unb64(p))))
		}), bad(malformed)),
		r("CRT-016", "zip DEF", valid().hdr("zip", `"DEF"`), bad(malformed)),
		r("CRT-016b", "zip DEF with a compressed payload", valid().hdr("zip", `"DEF"`).payload("\xabV*\xceLQ\xb2R\xca(I\x01"), bad(malformed)),
		// RFC 7516 §4.1.3 defines DEF alone, and a server that compresses nothing may say so.
		r("CRT-016c", "zip null", valid().hdr("zip", `null`), ok),
		r("CRT-016d", "zip NONE", valid().hdr("zip", `"NONE"`), ok),
		r("CRT-016e", "zip def", valid().hdr("zip", `"def"`), ok),
		r("CRT-016f", "zip def with a compressed payload", valid().hdr("zip", `"def"`).payload("\xabV*\xceLQ\xb2R\xca(I\x01"), bad(malformed)),
		r("CRT-017", "enc in the header of a JWS", valid().hdr("enc", `"A128GCM"`), bad(malformed)),
		r("CRT-018", "crit with DPoP's and other real names", crit(`["http://openbanking.org.uk/iat"]`).hdr("http://openbanking.org.uk/iat", `1`), bad(malformed)),
	}
}

// typRows attack the type: RFC 8725 §3.11 and §3.12, RFC 9068 §4.
func typRows() []row {
	typed := func(t string) jwt { return valid().hdr("typ", t) }
	var rows []row
	// req: R8725-11, R9068-01, R7519-09
	for i, t := range []string{`"AT+JWT"`, `"application/at+jwt"`, `"APPLICATION/AT+JWT"`, `"At+Jwt"`, `"at+JWT"`, `"Application/at+JWT"`, `"\u0061t+jwt"`} {
		rows = append(rows, r(fmt.Sprintf("TYP-005.%d", i+1), "typ "+t, typed(t), ok))
	}
	// req: R8725-12
	for i, t := range []string{
		`"JWT"`, `"jwt"`, `"dpop+jwt"`, `"logout+jwt"`, `"id_token"`, `"JOSE"`, `"client-authentication+jwt"`, `"at+jwt; charset=utf-8"`, `" at+jwt"`,
		`"at+jwt "`, `"at+jwt\u0000"`, `""`, `"secevent+jwt"`, `"token-introspection+jwt"`, `"oauth-authz-req+jwt"`, `"vc+sd-jwt"`, `"dc+sd-jwt"`, `"kb+jwt"`, `"entity-statement+jwt"`,
		`"rt+jwt"`, `"id+jwt"`, `"txn_token"`, `"passport"`, `"JOSE+JSON"`, `"at"`, `"+jwt"`, `"at+jwt,JWT"`, `"text/at+jwt"`, `"application/application/at+jwt"`, `"application/"`, `"application/jwt"`,
		`"x/at+jwt"`, `"/at+jwt"`, `"at＋jwt"`, `"at+jẘt"`, `"at-jwt"`, `"*/*"`, `"at+jwt\n"`, `"at+jwtx"`,
	} {
		rows = append(rows, r(fmt.Sprintf("TYP-007.%02d", i+1), "typ "+t, typed(t), bad(typ)))
	}
	idToken := valid().hdr("typ", `"JWT"`).clm("aud", `"client-1"`).clm("nonce", `"n"`).clm("at_hash", `"x"`).noClm("client_id").noClm("scope")
	nested := valid().payload(valid().token())
	jwe := func(header string) string { return b64(header) + ".AAAA.AAAA.AAAA.AAAA" }
	return append(rows,
		r("TYP-001", "no typ", valid().noHdr("typ"), bad(typ)),
		r("TYP-002", "TYP instead of typ", valid().noHdr("typ").hdr("TYP", `"at+jwt"`), bad(typ)),
		r("TYP-003", "typ in the claims only", valid().noHdr("typ").clm("typ", `"at+jwt"`), bad(typ)),
		r("TYP-018", "typ null", typed(`null`), bad(malformed)),
		r("TYP-019", "typ a number", typed(`1`), bad(malformed)),
		r("TYP-020", "typ an array", typed(`["at+jwt"]`), bad(malformed)),
		r("TYP-021", "typ an object", typed(`{"at+jwt":1}`), bad(malformed)),
		r("TYP-022", "an ID token", idToken, bad(typ)),
		r("TYP-022b", "an ID token without typ", idToken.noHdr("typ"), bad(typ)),
		r("TYP-023", "an ID token for our audience, with every claim of an access token", valid().hdr("typ", `"JWT"`).clm("nonce", `"n"`), bad(typ)),
		r("TYP-024", "a client assertion (RFC 7523)", valid().hdr("typ", `"JWT"`).clm("iss", `"client-1"`).clm("sub", `"client-1"`).clm("aud", strconv.Quote(issuer)), bad(typ)),
		r("TYP-024b", "a client assertion with typ at+jwt", valid().clm("iss", `"client-1"`).clm("sub", `"client-1"`).clm("aud", strconv.Quote(issuer)), bad(iss)),
		r("TYP-024c", "a logout token", valid().hdr("typ", `"logout+jwt"`).clm("events", `{"http://schemas.openid.net/event/backchannel-logout":{}}`), bad(typ)),
		r("TYP-024d", "a JWT introspection answer", valid().hdr("typ", `"token-introspection+jwt"`).clm("token_introspection", `{"active":true}`), bad(typ)),
		// req: R7519-10, R9068-02
		r("TYP-025", "nested, with cty JWT", nested.hdr("cty", `"JWT"`), bad(malformed)),
		r("TYP-025b", "nested, with cty jwt", nested.hdr("cty", `"jwt"`), bad(malformed)),
		r("TYP-025c", "nested, with cty application/jwt", nested.hdr("cty", `"application/JWT"`), bad(malformed)),
		r("TYP-025d", "cty JWT over claims", valid().hdr("cty", `"JWT"`), bad(malformed)),
		r("TYP-025e", "cty a number", valid().hdr("cty", `1`), bad(malformed)),
		r("TYP-026", "nested, without cty", nested, bad(malformed)),
		r("TYP-026b", "nested as a JSON string", valid().payload(strconv.Quote(valid().token())), bad(malformed)),
		r("TYP-027", "nested eight times", nest(8), bad(malformed)),
		r("TYP-028", "a JWE", jwe(`{"alg":"RSA-OAEP","enc":"A128GCM","cty":"JWT"}`), bad(malformed)),
		r("TYP-028b", "a JWE of three parts", b64(`{"alg":"RSA-OAEP","enc":"A128GCM"}`)+".AAAA.AAAA", bad(malformed)),
		r("TYP-028c", "a JWE with alg dir and an empty key", strings.Replace(jwe(`{"alg":"dir","enc":"A128GCM"}`), ".AAAA", ".", 1), bad(malformed)),
		r("TYP-029", "a JWE with p2c 2147483647", jwe(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2s":"AAAA","p2c":2147483647}`), bad(malformed)),
		r("TYP-029b", "a JWE with zip", jwe(`{"alg":"dir","enc":"A128GCM","zip":"DEF"}`), bad(malformed)),
		r("TYP-030", "a JWE whose header claims to be an access token", jwe(`{"alg":"RS256","typ":"at+jwt","kid":"r1"}`), bad(malformed)),
	)
}

func nest(depth int) jwt {
	j := from(e1())
	for range depth {
		j = from(e1()).payload(j.token())
	}
	return j
}

// embRows attack with keys that the token brings along: RFC 8725 §3.10. That no
// request is made for one is in [TestNoTokenCausesARequest].
func embRows() []row {
	// req: R7515-04
	return embedded("https://attacker.test/")
}

func embedded(attacker string) []row {
	evil := valid().signedBy(evilRSA())
	public := evilRSA().jwk().String()
	x5c := `["` + base64.StdEncoding.EncodeToString(evilCert()) + `"]`
	url := func(path string) string { return strconv.Quote(attacker + path) }
	rows := []row{
		r("EMB-001", "a jwk, signed with it, kid r1", evil.hdr("jwk", public), bad(signature)),
		r("EMB-002", "a jwk, signed with it, no kid", evil.noHdr("kid").hdr("jwk", public), bad(signature)),
		r("EMB-003", "a jwk, signed with it, its own kid", evil.hdr("jwk", public).hdr("kid", `"evil"`), bad(unknownKey)),
		r("EMB-003b", "an EC jwk, signed with it", from(evilEC()).hdr("jwk", evilEC().jwk().String()), bad(signature)),
		r("EMB-003c", "an Ed25519 jwk, signed with it", from(evilEd()).hdr("jwk", evilEd().jwk().String()), bad(signature)),
		r("EMB-004", "an oct jwk and HS256", valid().hdr("alg", `"HS256"`).hdr("jwk", `{"kty":"oct","k":"aw"}`).signed(mac([]byte("k"))), bad(algorithm)),
		r("EMB-005", "a jku", evil.hdr("jku", url("jwks")), bad(signature)),
		r("EMB-005b", "a jku, an unknown kid", evil.hdr("jku", url("jwks")).hdr("kid", `"evil"`), bad(unknownKey)),
		r("EMB-005c", "a jku that begins like the issuer", evil.hdr("jku", strconv.Quote(strings.TrimSuffix(issuer, "/")+"@"+strings.TrimPrefix(attacker, "https://")+"jwks")), bad(signature)),
		r("EMB-005d", "a jku within the host of the issuer", evil.hdr("jku", strconv.Quote(issuer+"redirect?to="+attacker)), bad(signature)),
		r("EMB-005e", "a jku to the metadata of a cloud", evil.hdr("jku", `"http://169.254.169.254/latest/meta-data/"`), bad(signature)),
		r("EMB-005f", "a jku to a file", evil.hdr("jku", `"file:///etc/passwd"`), bad(signature)),
		r("EMB-006", "an x5u", evil.hdr("x5u", url("cert.pem")), bad(signature)),
		r("EMB-007", "an x5c, signed with its key", evil.hdr("x5c", x5c), bad(signature)),
		r("EMB-007b", "an x5c, signed with its key, no kid", evil.noHdr("kid").hdr("x5c", x5c), bad(signature)),
		r("EMB-008", "x5t and x5t#S256 of the attacker", evil.hdr("x5t", `"AAAA"`).hdr("x5t#S256", `"AAAA"`), bad(signature)),
		r("EMB-008b", "iss and keys in the header", evil.hdr("iss", url("")).hdr("keys", "["+public+"]"), bad(signature)),
		r("EMB-008c", "iss of the attacker in the claims, with a jku", evil.clm("iss", url("")).hdr("jku", url("jwks")), bad(iss)),
		r("EMB-009", "a jwk of the attacker, signed by r1: ignored", valid().hdr("jwk", public), ok),
		r("EMB-010", "jku and x5u, signed by r1: ignored", valid().hdr("jku", url("jwks")).hdr("x5u", url("cert.pem")), ok),
		r("EMB-011", "a malformed jwk: ignored", valid().hdr("jwk", `{"kty":"RSA"}`), ok),
		r("EMB-011b", "a jwk that is a string: ignored", valid().hdr("jwk", `"x"`), ok),
		r("EMB-012", "a malformed x5c: ignored", valid().hdr("x5c", `["!!!",1,[[]]]`), ok),
		r("EMB-012b", "a jku that is a number: ignored", valid().hdr("jku", `1`), ok),
		r("EMB-013", "a jwk with a member twice", valid().hdr("jwk", `{"kty":"RSA","kty":"EC"}`), bad(malformed)),
		r("EMB-014", "jku in the claims", valid().clm("jku", url("jwks")).clm("jwks_uri", url("jwks")), ok),
	}
	return rows
}

// evilCert is a certificate of the issuer's name for the attacker's key.
var evilCert = sync.OnceValue(func() []byte { return certificate(evilRSA().priv.Public(), evilRSA()) })

func certificate(pub any, by key) []byte {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "as.example.com"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	return must(x509.CreateCertificate(rand.Reader, template, template, pub, by.priv))
}
