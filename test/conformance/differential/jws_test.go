package differential_test

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/internal/jose"
)

const maxToken = 16 << 10

var headers = []string{
	`{"alg":"EdDSA"}`, `{"alg":"Ed25519","kid":"k"}`, `{"alg":"ES256","kid":"k","typ":"at+jwt"}`, `{"alg":"ES384"}`, `{"alg":"ES512"}`, `{"alg":"RS256"}`, `{"alg":"PS256","kid":"\u006b"}`,
	`{"alg":"none"}`, `{"alg":"HS256"}`, `{"alg":"eddsa"}`, `{"alg":"EdDSA","alg":"none"}`, `{"alg":"EdDSA","ALG":"none"}`, `{"\u0061lg":"EdDSA"}`,
	`{"alg":"EdDSA","crit":["b64"],"b64":false}`, `{"alg":"EdDSA","b64":false}`, `{"alg":"EdDSA","crit":[]}`, `{"alg":"EdDSA","crit":["exp"],"exp":1}`, `{"alg":"EdDSA","zip":"DEF"}`, `{"alg":"EdDSA","cty":"JWT"}`,
	`{"alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}`, `{"alg":"EdDSA","x5c":["AAAA"],"nonce":"n"}`,
	`{"alg":"EdDSA","kid":1}`, `{"alg":"EdDSA","kid":""}`, `{"alg":"EdDSA","typ":null}`, `{"alg":"EdDSA","x":1e999}`, ` { "alg" : "EdDSA" } `, `{}`, `null`, `[]`, `x`, ``,
}

// FuzzCompact: a token that is parsed here is parsed by go-jose too, into the
// same payload, signature and header.
func FuzzCompact(f *testing.F) {
	for _, header := range headers {
		f.Add(b64(header) + "." + b64(`{"iss":"joe"}`) + "." + strings.Repeat("A", 86))
	}
	token := b64(headers[0]) + "." + b64("{}") + ".AAAA"
	for _, t := range []string{
		"", ".", "..", "...", token, token + ".", token + ".e30", token + "=", token + "\n", " " + token, strings.Replace(token, ".", "\n.", 1), strings.Replace(token, ".e30", ".e31", 1),
		strings.Replace(token, ".e30", "..", 1), strings.Replace(token, "AAAA", "A", 1), strings.Replace(token, "AAAA", "", 1), strings.Replace(token, "AAAA", "+/AA", 1),
		`{"payload":"e30","protected":"eyJhbGciOiJFZERTQSJ9","signature":"AAAA"}`,
	} {
		f.Add(t)
	}
	f.Fuzz(func(t *testing.T, token string) {
		ours, err := jose.Parse(token, maxToken)
		if err != nil {
			return
		}
		sameParse(t, token, ours)
	})
}

// sameParse asks go-jose for its reading of a token that is accepted here, and
// returns it, nil where go-jose refuses for the one reason that is allowed.
func sameParse(t *testing.T, token string, ours jose.JWS) *gojose.JSONWebSignature {
	t.Helper()
	theirs, err := gojose.ParseSignedCompact(token, []gojose.SignatureAlgorithm{gojose.SignatureAlgorithm(ours.Header.Algorithm)})
	rawHeader, _, _ := strings.Cut(token, ".")
	header, decodeErr := base64.RawURLEncoding.DecodeString(rawHeader)
	require.NoError(t, decodeErr)
	if err != nil {
		require.True(t, readsMore(t, header), "go-jose: %v: %s", err, header)
		return nil
	}
	require.Len(t, theirs.Signatures, 1)
	sig := theirs.Signatures[0]
	require.True(t, bytes.Equal(ours.Payload, theirs.UnsafePayloadWithoutVerification()))
	require.True(t, bytes.Equal(ours.Signature, sig.Signature))
	require.Equal(t, ours.Header.Algorithm, sig.Protected.Algorithm)
	require.Equal(t, ours.Header.KeyID, sig.Protected.KeyID)
	typ, hasType := sig.Protected.ExtraHeaders[gojose.HeaderType]
	require.Equal(t, ours.Header.HasType, hasType)
	if hasType {
		require.Equal(t, ours.Header.Type, typ)
	}
	// No other spelling of the token is accepted: these are the bytes again.
	require.Equal(t, token, b64(string(header))+"."+b64(string(ours.Payload))+"."+b64(string(ours.Signature)))
	require.Equal(t, token, string(ours.Signed)+"."+b64(string(ours.Signature)))
	return theirs
}

// readsMore: go-jose reads the header parameters jwk, x5c and nonce, which are
// never looked at here, and makes a float64 of every number.
func readsMore(t *testing.T, header []byte) bool {
	t.Helper()
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(header, &members))
	for _, name := range []string{"jwk", "x5c", "nonce"} {
		if _, has := members[name]; has {
			return true
		}
	}
	var v any
	return json.Unmarshal(header, &v) != nil
}

type signer struct {
	private crypto.Signer
	public  jose.Key
}

func signers(f *testing.F) []signer {
	var out []signer
	for _, alg := range []string{"EdDSA", "ES256", "ES384", "ES512", "RS256"} {
		private, err := jose.GenerateKey(alg)
		require.NoError(f, err)
		public, err := jose.NewKey("", private.Public())
		require.NoError(f, err)
		out = append(out, signer{private, public})
	}
	return out
}

// FuzzSigned signs any header and payload. What verifies here verifies with
// go-jose under the same key, with the same payload; and a token of which one
// character was changed verifies nowhere.
func FuzzSigned(f *testing.F) {
	for i, header := range headers {
		f.Add([]byte(header), []byte(`{"iss":"joe"}`), uint8(i), uint16(i), byte('A'))
		f.Add([]byte(header), []byte{}, uint8(i+1), uint16(50+i), byte('.'))
	}
	for i, alg := range jose.Algorithms() {
		f.Add([]byte(`{"alg":"`+alg+`"}`), []byte("\x00\xff"), uint8(i), uint16(100), byte('='))
	}
	f.Add([]byte(`{"alg":"Ed25519"}`), []byte("0"), uint8(95), uint16(115), byte('=')) // signed as EdDSA, the other name
	keys := signers(f)
	f.Fuzz(func(t *testing.T, header, payload []byte, which uint8, at uint16, changed byte) {
		if len(header)+len(payload) > maxToken/2 {
			return
		}
		// Signed with what the header says, mostly; else with something else, and
		// then it must be refused.
		var said struct {
			Alg string `json:"alg"`
		}
		key := keys[int(which)%len(keys)]
		alg := key.public.Algorithms()[0]
		if json.Unmarshal(header, &said) == nil && which%8 != 7 {
			if i := slices.IndexFunc(keys, func(s signer) bool { return s.public.Serves(said.Alg) }); i >= 0 {
				key, alg = keys[i], said.Alg
			}
		}
		token, err := jose.Sign(alg, key.private, header, payload)
		require.NoError(t, err)

		ours, err := jose.Parse(token, maxToken)
		if err == nil {
			verified := key.public.Verify(ours.Header.Algorithm, ours.Signed, ours.Signature) == nil
			require.Equal(t, ours.Header.Algorithm == alg || alg == "EdDSA" && ours.Header.Algorithm == "Ed25519", verified)
			theirs := sameParse(t, token, ours)
			if theirs != nil && verified && ours.Header.Algorithm != "Ed25519" { // a name that go-jose does not know
				got, err := theirs.Verify(key.private.Public())
				require.NoError(t, err)
				require.True(t, bytes.Equal(payload, got))
			}
		}

		i := int(at) % len(token)
		if token[i] == changed {
			return
		}
		forged := token[:i] + string(rune(changed)) + token[i+1:]
		if f, err := jose.Parse(forged, maxToken); err == nil {
			require.Error(t, key.public.Verify(f.Header.Algorithm, f.Signed, f.Signature))
			require.False(t, slices.ContainsFunc(key.public.Algorithms(), func(alg string) bool {
				return key.public.Verify(alg, f.Signed, f.Signature) == nil
			}))
		}
	})
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
