package dpop_test

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/bearergate/bearergate/test/proofs"
)

// secrets are of 32 bytes each.
func secrets(texts ...string) (all [][]byte) {
	for _, text := range texts {
		all = append(all, []byte(strings.Repeat(text, 32)))
	}
	return all
}

func newNonces(t testing.TB, c dpop.NonceConfig) *dpop.Nonces {
	t.Helper()
	n, err := dpop.NewNonces(c)
	require.NoError(t, err)
	return n
}

// withNonces is a Proofs of one process.
func withNonces(t testing.TB, c dpop.NonceConfig, change ...func(*dpop.Config)) *dpop.Proofs {
	t.Helper()
	n := newNonces(t, c)
	return newProofs(t, append([]func(*dpop.Config){func(c *dpop.Config) { c.Nonces = n }}, change...)...)
}

// ask gets a nonce by a proof without one.
func ask(s proofs.Scene, p *dpop.Proofs) string {
	s.T.Helper()
	reply, _ := confirm(s, p, call(sign(s, map[string]any{"iat": time.Now().Unix()})))
	requireReply(s.T, reply)
	return reply["DPoP-Nonce"]
}

// nqchar is NQCHAR of RFC 9449 §8.1.
var nqchar = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]+$`)

// requireReply asserts one nonce that may be sent, and that nobody stores the answer.
//
// req: R9449-21, R9449-22, R9449-34
func requireReply(t testing.TB, reply bearergate.Reply) {
	t.Helper()
	require.Len(t, reply, 2)
	require.Regexp(t, nqchar, reply["DPoP-Nonce"])
	require.Equal(t, "no-store", reply["Cache-Control"])
}

// Where nonces are demanded, every proof has one of ours and of now, and no clock of a
// client matters.
//
// req: R9449-10, R9449-24, R9449-36, R9449-37
func TestNonces(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t)
		ring := dpop.NonceConfig{Secrets: secrets("a", "b")}
		p := withNonces(t, ring)
		nonce := ask(s, p)
		require.Len(t, nonce, 32, "8 bytes of time and 16 of a MAC")
		for _, tc := range []struct {
			name   string
			claims map[string]any
			want   bearergate.Reason
		}{
			{name: "one of ours", claims: map[string]any{"nonce": nonce}},
			{name: "the same again", claims: map[string]any{"nonce": nonce}},
			{name: "W2-109 by the secret of before", claims: map[string]any{"nonce": ask(s, withNonces(t, dpop.NonceConfig{Secrets: secrets("b")}))}},
			{name: "by another process", claims: map[string]any{"nonce": ask(s, withNonces(t, ring))}},
			{name: "by one where they are offered", claims: map[string]any{"nonce": ask(s, withNonces(t, dpop.NonceConfig{Secrets: secrets("a"), Offer: true}))}},
			{name: "a clock that is a day slow", claims: map[string]any{"nonce": nonce, "iat": s.Now.Unix() - 86400}},
			{name: "a clock that is a day fast", claims: map[string]any{"nonce": nonce, "iat": s.Now.Unix() + 86400}},
			{name: "and whose exp has passed", claims: map[string]any{"nonce": nonce, "iat": s.Now.Unix() - 86400, "exp": s.Now.Unix() - 86340, "nbf": s.Now.Unix() + 86400}},

			{name: "W2-105 none", want: bearergate.ReasonNonce},
			{name: "null", claims: map[string]any{"nonce": nil}, want: bearergate.ReasonNonce},
			{name: "empty", claims: map[string]any{"nonce": ""}, want: bearergate.ReasonNonce},
			{name: "W2-106 made up", claims: map[string]any{"nonce": "abc"}, want: bearergate.ReasonNonce},
			{name: "a bit changed", claims: map[string]any{"nonce": flip(nonce, 3)}, want: bearergate.ReasonNonce},
			{name: "the last one", claims: map[string]any{"nonce": flip(nonce, 23)}, want: bearergate.ReasonNonce},
			{name: "cut off", claims: map[string]any{"nonce": nonce[:len(nonce)-1]}, want: bearergate.ReasonNonce},
			{name: "twice", claims: map[string]any{"nonce": nonce + nonce}, want: bearergate.ReasonNonce},
			{name: "longer", claims: map[string]any{"nonce": nonce + "A"}, want: bearergate.ReasonNonce},
			{name: "padded", claims: map[string]any{"nonce": nonce + "="}, want: bearergate.ReasonNonce},
			{name: "with a line break", claims: map[string]any{"nonce": nonce[:30] + "\r\n"}, want: bearergate.ReasonNonce},
			{name: "by a secret of nobody", claims: map[string]any{"nonce": ask(s, withNonces(t, dpop.NonceConfig{Secrets: secrets("c")}))}, want: bearergate.ReasonNonce},
			{name: "W2-108 of another API", claims: map[string]any{"nonce": ask(s, withNonces(t, dpop.NonceConfig{Secrets: secrets("a"), API: "billing"}))}, want: bearergate.ReasonNonce},
			{name: "of one with another address", claims: map[string]any{"nonce": ask(s, withNonces(t, ring, func(c *dpop.Config) { c.BaseURLs = append(c.BaseURLs, "https://b.example") }))}, want: bearergate.ReasonNonce},
			{name: "W2-107 a number", claims: map[string]any{"nonce": 1}, want: bearergate.ReasonProof},
			{name: "an array", claims: map[string]any{"nonce": []string{nonce}}, want: bearergate.ReasonProof},

			{name: "no iat", claims: map[string]any{"nonce": nonce, "iat": kit.Absent}, want: bearergate.ReasonProof},
			{name: "iat is a string", claims: map[string]any{"nonce": nonce, "iat": "now"}, want: bearergate.ReasonProof},
			{name: "another method", claims: map[string]any{"nonce": nonce, "htm": "PUT"}, want: bearergate.ReasonProof},
		} {
			reply, err := confirm(s, p, call(sign(s, tc.claims)))
			require.Equal(t, tc.want, bearergate.ReasonOf(err), tc.name)
			requireReason(t, err, tc.want)
			if tc.want == bearergate.ReasonNonce {
				requireReply(t, reply)
				_, err = confirm(s, p, call(sign(s, map[string]any{"nonce": reply["DPoP-Nonce"]})))
				require.NoError(t, err, "%s: the new one", tc.name)
			} else {
				require.Empty(t, reply, tc.name)
			}
		}
	})
}

func flip(nonce string, octet int) string {
	b, _ := base64.RawURLEncoding.DecodeString(nonce)
	b[octet] ^= 1
	return base64.RawURLEncoding.EncodeToString(b)
}

// The first secret makes nonces, and all recognize them: each of the three roll-outs of a new
// secret serves the clients of processes that are one roll-out behind, and of those ahead.
func TestSecretsRotate(t *testing.T) {
	s := newScene(t)
	var steps []*dpop.Proofs
	for _, ring := range [][][]byte{secrets("a"), secrets("a", "b"), secrets("b", "a"), secrets("b")} {
		steps = append(steps, withNonces(t, dpop.NonceConfig{Secrets: ring}))
	}
	for made := range steps {
		for read := range steps {
			_, err := confirm(s, steps[read], call(sign(s, map[string]any{"nonce": ask(s, steps[made])})))
			want := bearergate.Reason("")
			if made < 2 && read == 3 || made >= 2 && read == 0 {
				want = bearergate.ReasonNonce // "a" made it, and only "b" is known; and the other way about
			}
			require.Equal(t, want, bearergate.ReasonOf(err), "made in step %d, read in step %d", made, read)
		}
	}
}

// What a nonce is for: the addresses in their order, or the name that stands instead.
func TestNonceAPI(t *testing.T) {
	s := newScene(t)
	of := func(name string, bases ...string) *dpop.Proofs {
		return withNonces(t, dpop.NonceConfig{Secrets: secrets("a"), API: name}, func(c *dpop.Config) { c.BaseURLs = append([]string{api}, bases...) })
	}
	for _, tc := range []struct {
		name       string
		made, read *dpop.Proofs
		want       bearergate.Reason
	}{
		{name: "one name, other addresses", made: of("orders", "https://b.example"), read: of("orders")},
		{name: "another name, the same addresses", made: of("billing"), read: of("orders"), want: bearergate.ReasonNonce},
		{name: "the addresses", made: of("", "https://b.example"), read: of("", "https://B.example:443/")},
		{name: "in another order", made: of("", "https://b.example", "https://c.example"), read: of("", "https://c.example", "https://b.example"), want: bearergate.ReasonNonce},
		{name: "the same letters, cut elsewhere", made: of("", "https://b", "https://c"), read: of("", "https://bhttpsc"), want: bearergate.ReasonNonce},
	} {
		_, err := confirm(s, tc.read, call(sign(s, map[string]any{"nonce": ask(s, tc.made)})))
		require.Equal(t, tc.want, bearergate.ReasonOf(err), tc.name)
	}
}

// Whoever is refused for something else gets no nonce: a stranger has to come first with a
// token, then with a proof.
//
// W2-114.
func TestNoNonceForStrangers(t *testing.T) {
	s := newScene(t)
	p := withNonces(t, dpop.NonceConfig{Secrets: secrets("a")})
	for _, row := range proofs.Rows() {
		if row.Want == "" {
			continue
		}
		if _, ok := row.Claims["nonce"]; !ok {
			sent := row.Make(s)
			c := call(sent.Proofs...)
			if sent.Scheme == "Bearer" {
				c.Scheme = bearergate.SchemeBearer
			}
			_, reply, err := bearergate.Authenticate(t.Context(), bound(t, row.Cnf(s)), c, p)
			if ofClock := strings.Contains(row.Name, "iat") || strings.Contains(row.Name, "exp has") || strings.Contains(row.Name, "nbf in"); ofClock && bearergate.ReasonOf(err) == bearergate.ReasonNonce {
				continue // a clock does not count here
			}
			require.Equal(t, row.Want, bearergate.ReasonOf(err), row.Name)
			require.Empty(t, reply, row.Name)
		}
	}
}

// A nonce ends; before, its client gets the next one with what it asked for.
//
// W2-110, W2-112.
func TestNoncesEnd(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t)
		p := withNonces(t, dpop.NonceConfig{Secrets: secrets("a"), Life: time.Minute})
		nonce := ask(s, p)
		use := func() (bearergate.Reply, error) {
			return confirm(s, p, call(sign(s, map[string]any{"nonce": nonce})))
		}
		for _, tc := range []struct {
			name    string
			after   time.Duration
			want    bearergate.Reason
			renewed bool
		}{
			{name: "at once"},
			{name: "half its life", after: 30 * time.Second},
			{name: "more", after: time.Millisecond, renewed: true},
			{name: "its last millisecond", after: 30*time.Second - 2*time.Millisecond, renewed: true},
			{name: "its end", after: time.Millisecond, want: bearergate.ReasonNonce, renewed: true},
			{name: "twice its life", after: time.Minute, want: bearergate.ReasonNonce, renewed: true},
		} {
			time.Sleep(tc.after)
			reply, err := use()
			require.Equal(t, tc.want, bearergate.ReasonOf(err), tc.name)
			if tc.renewed {
				requireReply(t, reply)
				require.NotEqual(t, nonce, reply["DPoP-Nonce"])
			} else {
				require.Empty(t, reply, tc.name)
			}
		}
	})
}

// A nonce of a process whose clock is ahead counts, and one from far in the future, as after
// a clock was set back, does not.
func TestNoncesOfOtherClocks(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t)
		p := withNonces(t, dpop.NonceConfig{Secrets: secrets("a")})
		for _, tc := range []struct {
			ahead time.Duration
			want  bearergate.Reason
		}{
			{ahead: 10 * time.Second},
			{ahead: 10*time.Second + time.Millisecond, want: bearergate.ReasonNonce},
			{ahead: -5*time.Minute + time.Millisecond},
			{ahead: -5 * time.Minute, want: bearergate.ReasonNonce},
		} {
			other := withNonces(t, dpop.NonceConfig{Secrets: secrets("a")}, func(c *dpop.Config) {
				c.Now = func() time.Time { return time.Now().Add(tc.ahead) }
			})
			_, err := confirm(s, p, call(sign(s, map[string]any{"nonce": ask(s, other)})))
			require.Equal(t, tc.want, bearergate.ReasonOf(err), tc.ahead)
		}
	})
}

// Where nonces are offered, a proof without one is let in and gets one; one that is wrong
// is refused, and iat counts.
func TestOffer(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t)
		p := withNonces(t, dpop.NonceConfig{Secrets: secrets("a"), Offer: true})
		nonce := ask(s, p)
		for _, tc := range []struct {
			name   string
			claims map[string]any
			want   bearergate.Reason
			reply  bool
		}{
			{name: "none", reply: true},
			{name: "null", claims: map[string]any{"nonce": nil}, reply: true},
			{name: "one of ours", claims: map[string]any{"nonce": nonce}},
			{name: "one of somebody else", claims: map[string]any{"nonce": "abc"}, want: bearergate.ReasonNonce, reply: true},
			{name: "an old iat and none", claims: map[string]any{"iat": s.Now.Unix() - 3600}, want: bearergate.ReasonProof},
			{name: "an old iat and one of ours", claims: map[string]any{"iat": s.Now.Unix() - 3600, "nonce": nonce}, want: bearergate.ReasonProof},
		} {
			reply, err := confirm(s, p, call(sign(s, tc.claims)))
			require.Equal(t, tc.want, bearergate.ReasonOf(err), tc.name)
			if tc.reply {
				requireReply(t, reply)
			} else {
				require.Empty(t, reply, tc.name)
			}
		}
	})
}

// A replay is one with a nonce too; and a proof that opened nothing, for it had no nonce,
// can be sent again with one.
func TestNonceAndReplay(t *testing.T) {
	s := newScene(t)
	p := withNonces(t, dpop.NonceConfig{Secrets: secrets("a")})
	reply, err := confirm(s, p, call(sign(s, map[string]any{"jti": "id"})))
	requireReason(t, err, bearergate.ReasonNonce)
	again := sign(s, map[string]any{"jti": "id", "nonce": reply["DPoP-Nonce"]})
	_, err = confirm(s, p, call(again))
	require.NoError(t, err)
	_, err = confirm(s, p, call(again))
	requireReason(t, err, bearergate.ReasonReplay)
}

// Nobody who sees nonces makes one: each moment has its own, and half a nonce is not enough.
//
// W2-115
// req: R9449-35
func TestNoncesAreUnpredictable(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t)
		p := withNonces(t, dpop.NonceConfig{Secrets: secrets("a")})
		seen := map[string]bool{}
		for range 200 {
			nonce := ask(s, p)
			require.False(t, seen[nonce[16:]], "the part that depends on the secret")
			seen[nonce[16:]] = true
			time.Sleep(time.Millisecond)
		}
	})
}

// Every mistake at once.
func TestNonceMistakes(t *testing.T) {
	for _, tc := range []struct {
		name   string
		config dpop.NonceConfig
		says   []string
	}{
		{name: "nothing", says: []string{"Secrets has 0 secrets"}},
		{name: "too many", config: dpop.NonceConfig{Secrets: secrets("a", "b", "c", "d", "e", "f", "g", "h", "i")}, says: []string{"Secrets has 9 secrets"}},
		{name: "everything", config: dpop.NonceConfig{Secrets: append(secrets("a", "a"), bytes.Repeat([]byte("x"), 31)), Life: 2 * time.Hour},
			says: []string{"Secrets[1] is that of 0", "Secrets[2] has 31 bytes", "Life is 2h0m0s"}},
	} {
		n, err := dpop.NewNonces(tc.config)
		require.Nil(t, n, tc.name)
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		for _, says := range tc.says {
			require.ErrorContains(t, err, says, tc.name)
		}
	}
}

// As many secrets as there may be.
func TestMostSecrets(t *testing.T) {
	s := newScene(t)
	p := withNonces(t, dpop.NonceConfig{Secrets: secrets("a", "b", "c", "d", "e", "f", "g", "h")})
	nonce := ask(s, withNonces(t, dpop.NonceConfig{Secrets: secrets("h")}))
	_, err := confirm(s, p, call(sign(s, map[string]any{"nonce": nonce})))
	require.NoError(t, err)
}

// The secrets are copied, and printing shows none.
func TestNonceSecrets(t *testing.T) {
	s := newScene(t)
	given := secrets("a")
	n := newNonces(t, dpop.NonceConfig{Secrets: given})
	copy(given[0], "something else")
	p := newProofs(t, func(c *dpop.Config) { c.Nonces = n })
	nonce := ask(s, withNonces(t, dpop.NonceConfig{Secrets: secrets("a")}))
	_, err := confirm(s, p, call(sign(s, map[string]any{"nonce": nonce})))
	require.NoError(t, err)
	for _, v := range []any{n, *n, p} {
		requirePrintsNothing(t, v, "aaaaaaaa", "97 97 97 97 97 97", "616161616161")
	}
}
