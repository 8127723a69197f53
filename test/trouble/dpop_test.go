package trouble_test

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/test/kit"
)

// client signs proofs (RFC 9449). It calls address, whatever arrives at the service.
type client struct {
	y       *try
	key     kit.ProofKey
	address string
	skew    time.Duration // how far its clock is off
	change  map[string]any
}

// byDPoP binds the token to a key of the client, which signs a proof for each request.
func byDPoP(change func(*try, *client)) func(*try) {
	return func(y *try) {
		c := &client{y: y, key: kit.NewProofKey(y.t, "ES256"), address: api + "/orders", change: map[string]any{}}
		y.jwt.Confirmations = []string{"jkt"}
		y.dpop = &dpop.Config{BaseURLs: []string{api}}
		y.header["typ"] = "at+jwt"
		y.claims["cnf"] = map[string]any{"jkt": c.key.Thumbprint}
		y.authorization = func(token string) []string { return []string{"DPoP " + token} }
		y.send = c.send
		change(y, c)
	}
}

// proof is one for a request, with the nonce if there is one.
func (c *client) proof(r *http.Request, nonce string) string {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	claims := c.key.Claims(r.Method, c.address, token, time.Now().Add(c.skew))
	if nonce != "" {
		claims["nonce"] = nonce
	}
	maps.Copy(claims, c.change)
	return c.key.Sign(c.y.t, nil, claims)
}

// send signs a proof, and sends the request with it.
func (c *client) send(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	return once(h, with(r, c.proof(r, "")))
}

// retries sends it once more where a nonce is demanded (RFC 9449 §9).
func (c *client) retries(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := c.send(h, r)
	if nonce := w.Header().Get("DPoP-Nonce"); w.Code == http.StatusUnauthorized && nonce != "" {
		return once(h, with(r, c.proof(r, nonce)))
	}
	return w
}

// with is the request with this proof.
func with(r *http.Request, proof string) *http.Request {
	r = r.Clone(r.Context())
	r.Header.Set("DPoP", proof)
	return r
}

// nonces are demanded, under a secret.
func nonces(y *try, secret []byte) *dpop.Nonces {
	n, err := dpop.NewNonces(dpop.NonceConfig{Secrets: [][]byte{secret}})
	require.NoError(y.t, err)
	return n
}

func random(y *try) []byte {
	secret := make([]byte, dpop.MinSecretBytes)
	_, err := rand.Read(secret)
	require.NoError(y.t, err)
	return secret
}

// downStore is a ReplayStore that cannot be reached.
type downStore struct{}

func (downStore) Use(context.Context, string, time.Time) (bool, error) {
	return false, errors.New("connection refused")
}

func possession() area {
	const clock = "The clock of the client is wrong, or it signs proofs before it sends them: have it set its clock, and sign when it sends. Where the clocks of clients cannot be relied on, demand nonces (Config.Nonces): then they do not matter."
	return area{
		title: "Proof of possession (DPoP)",
		about: "The token is bound to a key of the client (RFC 9449), and the proof of that key is missing or wrong. Explain has less to say here: it asks no Binding, for a proof counts once.",
		rows: []row{
			{
				title: "The client's clock is slow", status: http.StatusUnauthorized, reason: bearergate.ReasonProof, byBinding: true, advice: clock,
				wrong:  byDPoP(func(_ *try, c *client) { c.skew = -5 * time.Minute }),
				mended: "The clock is right.", mend: byDPoP(func(*try, *client) {}),
			},
			{
				title: "The client's clock is fast", status: http.StatusUnauthorized, reason: bearergate.ReasonProof, byBinding: true, advice: clock,
				wrong:  byDPoP(func(_ *try, c *client) { c.skew = 5 * time.Minute }),
				mended: "Nonces are demanded.", mend: byDPoP(func(y *try, c *client) {
					c.skew = 5 * time.Minute
					y.dpop.Nonces, y.send = nonces(y, random(y)), c.retries
				}),
			},
			{
				title: "A proxy takes the beginning of the path off", status: http.StatusUnauthorized, reason: bearergate.ReasonProof,
				wrong:     byDPoP(func(_ *try, c *client) { c.address = api + "/shop/orders" }),
				byBinding: true, advice: "The client signs the address that it calls, and the service sees only the rest of the path: add what the proxy takes off to BaseURLs; or set Target, if the proxy rewrites paths. Do not build it from Host.",
				mended: "BaseURLs has what the proxy takes off.", mend: byDPoP(func(y *try, c *client) {
					c.address = api + "/shop/orders"
					y.dpop.BaseURLs = []string{api + "/shop"}
				}),
			},
			{
				title: "BaseURLs has the address behind the proxy", status: http.StatusUnauthorized, reason: bearergate.ReasonProof,
				wrong:     byDPoP(func(y *try, _ *client) { y.dpop.BaseURLs = []string{"http://orders.internal:8080"} }),
				byBinding: true, advice: "The client signs the address that it calls, which is that of the proxy: have BaseURLs say it, with scheme, host and port as clients write them, and no address that only the proxy uses.",
				mended: "BaseURLs has the one that clients call.", mend: byDPoP(func(*try, *client) {}),
				twin: "A proxy takes the beginning of the path off",
			},
			{
				title: "The client sends a bound token under Bearer", status: http.StatusUnauthorized, reason: bearergate.ReasonBinding,
				wrong:  byDPoP(func(y *try, _ *client) { asIssued(y) }),
				mended: "The client sends it under DPoP.", mend: byDPoP(func(*try, *client) {}),
			},
			{
				title: "The client sends a token that is not bound under DPoP", status: http.StatusUnauthorized, reason: bearergate.ReasonBinding,
				wrong:  byDPoP(func(y *try, _ *client) { delete(y.claims, "cnf") }),
				mended: "The client sends its proof to the token endpoint too, and gets a token that is bound.", mend: byDPoP(func(*try, *client) {}),
			},
			{
				title: "There is no proof", status: http.StatusUnauthorized, reason: bearergate.ReasonProof,
				wrong:     byDPoP(func(y *try, _ *client) { y.send = once }),
				byBinding: true, advice: "Have the client send its proof in the header DPoP of every request. If it does, something on the way takes the header out: have the proxy pass it on, and for scripts in browsers name it in Access-Control-Allow-Headers.",
				mended: "The header arrives.", mend: byDPoP(func(*try, *client) {}),
			},
			{
				title: "A nonce is demanded, and the client does not try again", status: http.StatusUnauthorized, reason: bearergate.ReasonNonce,
				wrong:     byDPoP(func(y *try, _ *client) { y.dpop.Nonces = nonces(y, random(y)) }),
				byBinding: true, advice: "This is how every client gets its first nonce: have it take DPoP-Nonce of the answer, sign a new proof with it, and send the request again. Most DPoP libraries do that. If the client never sees the header, look at the proxy, and at Access-Control-Expose-Headers for a script in a browser.",
				mended: "The client signs again with the nonce that it got.", mend: byDPoP(func(y *try, c *client) {
					y.dpop.Nonces, y.send = nonces(y, random(y)), c.retries
				}),
			},
			{
				title: "The processes of a fleet have different secrets for nonces", status: http.StatusUnauthorized, reason: bearergate.ReasonNonce,
				wrong:     byDPoP(func(y *try, c *client) { c.fleet(random(y), random(y)) }),
				byBinding: true, advice: "The nonce is of another process, or too old: give every process the same Secrets, and when you change them, put the new one second first, everywhere. A client that keeps a nonce for long is given a new one by this very answer.",
				mended: "They have the same.", mend: byDPoP(func(y *try, c *client) {
					secret := random(y)
					c.fleet(secret, secret)
				}),
			},
			{
				title: "The client uses a proof for a second request", status: http.StatusUnauthorized, reason: bearergate.ReasonReplay,
				wrong: byDPoP(func(y *try, c *client) {
					y.send = func(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
						r = with(r, c.proof(r, ""))
						require.Equal(y.t, http.StatusOK, once(h, r).Code)
						return once(h, r)
					}
				}),
				byBinding: true, advice: "A proof opens once: have the client sign a new one for every request, also for one that it sends again after an error, or that a library or a proxy repeats.",
				mended: "The client signs one for each.", mend: byDPoP(func(y *try, c *client) {
					y.send = func(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
						require.Equal(y.t, http.StatusOK, c.send(h, r).Code)
						return c.send(h, r)
					}
				}),
			},
			{
				title: "The gateway and the service behind it share a store", status: http.StatusUnauthorized, reason: bearergate.ReasonReplay,
				wrong:     byDPoP(func(_ *try, c *client) { c.behindGateway("") }),
				byBinding: true, advice: "Two tiers check the same proof, and the first one has used it up: give each a ReplayNamespace of its own.",
				mended: "The gateway has a ReplayNamespace of its own.", mend: byDPoP(func(_ *try, c *client) { c.behindGateway("gateway") }),
				twin: "The client uses a proof for a second request",
			},
			{
				title: "The client signs its proofs with ES384", status: http.StatusUnauthorized, reason: bearergate.ReasonProof,
				wrong:     byDPoP(func(_ *try, c *client) { c.bind(kit.NewProofKey(c.y.t, "ES384")) }),
				byBinding: true, advice: "Have the client make a key for one of the algorithms that the challenge names in algs, and ask for a new token with it; or add its algorithm to Algorithms of dpop.Config.",
				mended: "The client makes a key for ES256, and asks for a new token.", mend: byDPoP(func(*try, *client) {}),
			},
			{
				title: "The client has made a new key", status: http.StatusUnauthorized, reason: bearergate.ReasonBinding,
				wrong:     byDPoP(func(_ *try, c *client) { c.key = kit.NewProofKey(c.y.t, "ES256") }),
				byBinding: true, advice: "The token is bound to another key: have the client keep the key for as long as its tokens, or ask for a new token with the new key. If it did neither lose nor change its key, somebody else has the token: the client should revoke it.",
				mended: "The client asks for a token with it.", mend: byDPoP(func(*try, *client) {}),
			},
			{
				title: "The proof is for the token before", status: http.StatusUnauthorized, reason: bearergate.ReasonProof,
				wrong:     byDPoP(func(_ *try, c *client) { c.change["ath"] = kit.TokenHash("the token before") }),
				byBinding: true, advice: "ath of the proof is the hash of another token: have the client compute it of exactly the token that it sends, and anew when it has refreshed that.",
				mended: "The client computes ath of the token that it sends.", mend: byDPoP(func(*try, *client) {}),
			},
			{
				title: "The store of used proofs does not answer", status: http.StatusServiceUnavailable, reason: bearergate.ReasonStoreUnavailable,
				wrong:     byDPoP(func(y *try, _ *client) { y.dpop.Replay = downStore{} }),
				byBinding: true, advice: "Nothing is known against the proof: the store that Replay of dpop.Config asks did not answer, or not within StoreTimeout. Look at that store.",
				mended: "The store answers.", mend: byDPoP(func(*try, *client) {}),
			},
		},
	}
}

// bind has the token bound to this key.
func (c *client) bind(key kit.ProofKey) {
	c.key = key
	c.y.claims["cnf"] = map[string]any{"jkt": key.Thumbprint}
}

// fleet has one process give the nonce, and the one that is asked make nonces of its own.
func (c *client) fleet(theirs, ours []byte) {
	other, err := dpop.New(dpop.Config{BaseURLs: c.y.dpop.BaseURLs, Nonces: nonces(c.y, theirs)})
	require.NoError(c.y.t, err)
	c.y.dpop.Nonces = nonces(c.y, ours)
	c.y.send = func(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
		given := c.nonceOf(c.gate(other), r)
		return once(h, with(r, c.proof(r, given)))
	}
}

// nonceOf is the nonce that a service gives to a client without one.
func (c *client) nonceOf(h http.Handler, r *http.Request) string {
	given := c.send(h, r).Header().Get("DPoP-Nonce")
	require.NotEmpty(c.y.t, given)
	return given
}

// behindGateway has a gateway with this ReplayNamespace check the proof, and pass the
// request on.
func (c *client) behindGateway(namespace string) {
	store, err := dpop.NewMemory(100)
	require.NoError(c.y.t, err)
	c.y.dpop.Replay = store
	gateway, err := dpop.New(dpop.Config{BaseURLs: c.y.dpop.BaseURLs, Replay: store, ReplayNamespace: namespace})
	require.NoError(c.y.t, err)
	c.y.send = func(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
		r = with(r, c.proof(r, ""))
		require.Equal(c.y.t, http.StatusOK, once(c.gate(gateway), r).Code)
		return once(h, r)
	}
}

// gate is another service with the same verifier.
func (c *client) gate(b bearergate.Binding) http.Handler {
	v, err := jwtverify.New(c.y.jwt)
	require.NoError(c.y.t, err)
	gate, err := middleware.New(v, middleware.Config{Bindings: []bearergate.Binding{b}})
	require.NoError(c.y.t, err)
	return gate.Require(c.y.need)(kit.Says("orders"))
}

func newProofs(change func(*dpop.Config)) func() error {
	return func() error {
		c := dpop.Config{BaseURLs: []string{api}}
		change(&c)
		_, err := dpop.New(c)
		return err
	}
}

// newBoundGate is middleware.New with a Binding for DPoP or without one, behind a verifier
// with these Confirmations.
func newBoundGate(confirmations []string, binding bool) func() error {
	return func() error {
		v, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{api}, Confirmations: confirmations})
		if err != nil {
			return err
		}
		c := middleware.Config{}
		if binding {
			proofs, err := dpop.New(dpop.Config{BaseURLs: []string{api}})
			if err != nil {
				return err
			}
			c.Bindings = []bearergate.Binding{proofs}
		}
		_, err = middleware.New(v, c)
		return err
	}
}

func newNonces(secrets ...[]byte) func() error {
	return func() error {
		_, err := dpop.NewNonces(dpop.NonceConfig{Secrets: secrets})
		return err
	}
}

// possessionMistakes are those of DPoP.
func possessionMistakes() []mistake {
	jkt := []string{"jkt"}
	return []mistake{
		{
			title: "BaseURLs of DPoP is empty", wrong: newProofs(func(c *dpop.Config) { c.BaseURLs = nil }),
			says: "name what clients call this API", mended: "It has what clients call.", mend: newProofs(func(*dpop.Config) {}),
		},
		{
			title: "BaseURLs of DPoP has a host alone", wrong: newProofs(func(c *dpop.Config) { c.BaseURLs = []string{"api.example.test"} }),
			says: "write https://host", mended: "It is a URL.", mend: newProofs(func(*dpop.Config) {}),
		},
		{
			title: "Algorithms of DPoP has HS256", wrong: newProofs(func(c *dpop.Config) { c.Algorithms = []string{"ES256", "HS256"} }),
			says: "use asymmetric signatures", mended: "It is taken out.", mend: newProofs(func(c *dpop.Config) { c.Algorithms = []string{"ES256"} }),
		},
		{
			title: "MaxAge of DPoP has no unit", wrong: newProofs(func(c *dpop.Config) { c.MaxAge = 60 }),
			says: "write 60*time.Second", mended: "It is 60*time.Second.", mend: newProofs(func(c *dpop.Config) { c.MaxAge = 60 * time.Second }),
		},
		{
			title: "Nonces of DPoP were not made by NewNonces", wrong: newProofs(func(c *dpop.Config) { c.Nonces = new(dpop.Nonces) }),
			says: "use what NewNonces returned", mended: "They are left out, and none are demanded.", mend: newProofs(func(*dpop.Config) {}),
		},
		{
			title: "There is no secret for nonces", wrong: newNonces(),
			says: "give 1 to 8", mended: "There is one.", mend: newNonces(make([]byte, dpop.MinSecretBytes)),
		},
		{
			title: "The secret for nonces is short", wrong: newNonces([]byte("change me")),
			says: "use at least 32 random ones", mended: "It has 32 bytes.", mend: newNonces(make([]byte, dpop.MinSecretBytes)),
		},
		{
			title: "The gate checks DPoP, and the verifier refuses such tokens", wrong: newBoundGate(nil, true),
			says: "name them in its Confirmations", mended: "Confirmations names jkt.", mend: newBoundGate(jkt, true),
		},
		{
			title: "The verifier accepts tokens that are bound to DPoP keys, and the gate checks none", wrong: newBoundGate(jkt, false),
			says: "which nobody confirms", mended: "The gate has the Binding.", mend: newBoundGate(jkt, true),
		},
	}
}
