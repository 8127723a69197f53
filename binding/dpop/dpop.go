// Package dpop confirms that the sender of a request holds the key to which its token is
// bound (RFC 9449): the member jkt of cnf is the thumbprint of that key, and every request
// brings a proof that the key has signed for this method, this address and this token. A
// token that was stolen is of no use to somebody who has not the key, and neither is a
// proof: it opens once.
//
//	proofs, err := dpop.New(dpop.Config{BaseURLs: []string{"https://api.example.com"}})
//	verifier, err := jwtverify.New(jwtverify.Config{…, Confirmations: []string{"jkt"}})
//	gate, err := middleware.New(verifier, middleware.Config{Bindings: []bearergate.Binding{proofs}})
//
// Tokens without cnf pass as before, under Bearer: demand bound tokens by
// middleware.Bound or Config.RequireBinding of middleware. A bound token under Bearer is
// refused, and so is an unbound one under DPoP (RFC 9449 §7.2).
//
// # Order
//
// Each step that fails ends the decision, so that junk costs no signature and only a
// proof that is right in everything is remembered:
//
//  1. there is one DPoP header, with a compact JWS of at most MaxProofBytes;
//  2. its typ is dpop+jwt, its alg is one of Algorithms, its jwk is a public key;
//  3. the thumbprint of that key is jkt;
//  4. htm is the method, htu the address, ath the hash of the token, iat is of now;
//  5. the signature verifies under the key;
//  6. the nonce is one of ours, where there are Nonces;
//  7. the proof was not used before.
//
// Whoever has no token that is valid and bound learns nothing here and gets no nonce: the
// token is verified first.
//
// # What the address is compared with
//
// htu names the address that the client called, and behind a proxy no request says what
// that was: Host and forwarded headers are what somebody sent. [Config].BaseURLs says what
// clients call this API; the path of the request is appended. Query and fragment of htu
// do not count, and both addresses are normalized as in RFC 3986 §6.2.2 and §6.2.3: the
// case of scheme and host, the default port, an empty path, dot segments, and escapes of
// characters that need none. %2F is no slash, and // is not /. A request whose own path has
// dot segments, escaped or not, is refused: routers differ in what they make of them.
//
// # Clocks, and whether to demand nonces
//
// Without Nonces, a client whose clock is slow by more than [DefaultMaxAge] or fast by more
// than [DefaultAhead] is refused, and a proof that malware made in advance on the client's
// machine opens later (RFC 9449 §11.2): keep tokens short-lived then. With [Config].Nonces,
// iat and the client's clock do not matter, for the nonce tells when the proof was made. A
// client needs one request more to get its first nonce; libraries for clients do this by
// themselves.
//
// # What the caller must do
//
// Serve over TLS. A request that is sent again needs a new proof, also after a 503 (RFC
// 9449 §7.3): the proof may have been used up. Where a proxy asks about a request before it
// passes it on, and the service behind asks again, the proof is used up by the first: give
// each tier its own [Config].ReplayNamespace. Do not pass a bound token on to another
// service or through a queue, for there is no proof for it: exchange it (RFC 8693). Scripts
// in browsers read DPoP-Nonce and WWW-Authenticate only where the CORS handler sends
// Access-Control-Expose-Headers: DPoP-Nonce, WWW-Authenticate (RFC 9449 §8.2).
//
// For gRPC, the method is POST and htu is the base URL with the full method:
// https://api.example.com/orders.v1.Orders/Get.
//
// [Proofs], [Nonces] and the store of [NewMemory] are safe for concurrent use.
package dpop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/mistake"
)

const (
	member      = "jkt"        // what this package confirms of cnf (RFC 9449 §6.1)
	proofType   = "dpop+jwt"   // typ (RFC 9449 §4.2)
	proofHeader = "DPoP"       // the header field of proofs
	nonceHeader = "DPoP-Nonce" // that of nonces
)

// What a [Config] does where it does not say otherwise.
const (
	DefaultMaxAge        = time.Minute            // of Config.MaxAge
	DefaultAhead         = 10 * time.Second       // of Config.Ahead
	DefaultMaxProofBytes = 4096                   // of Config.MaxProofBytes
	DefaultMaxIDBytes    = 256                    // of Config.MaxIDBytes
	DefaultStoreTimeout  = 100 * time.Millisecond // of Config.StoreTimeout
	// DefaultReplayEntries is how many proofs the store of a Config without Replay holds:
	// those of a minute in which 4,000 a second come, or with nonces those of five minutes in
	// which 850 do. A full one takes 43 to 85 MB, and
	// keeps most of them when its entries have ended.
	DefaultReplayEntries = 1 << 18
)

// leeway is for exp and nbf, which a client need not put into a proof.
const leeway = 5 * time.Second

// maxRSABits bounds what a signature of a client costs.
const maxRSABits = 4096

// DefaultAlgorithms returns the algorithms of proofs that are accepted unless
// [Config].Algorithms says otherwise: ES256, EdDSA and its other name Ed25519, PS256 and
// RS256. ES384 and ES512 are left out for what a check costs, some 10 and 40 times that of
// ES256; FAPI 2.0 wants RS256 left out as well.
func DefaultAlgorithms() []string { return []string{"ES256", "EdDSA", "Ed25519", "PS256", "RS256"} }

// Config says how proofs are judged. BaseURLs or Target is required.
type Config struct {
	// BaseURLs are what clients call this API, up to where the path of a request begins:
	// "https://api.example.com", or "https://api.example.com/orders" where a proxy takes
	// /orders away. https or http, without query, fragment and user. All of them count for
	// every request, but where its Host names some, only those do, and where it has the name
	// of some with another port, those. The slice is copied.
	//
	// Danger: a proof for any of them opens this API. Name no address of another service.
	BaseURLs []string
	// Target returns the address that the client called, for a proxy that rewrites paths;
	// it stands instead of BaseURLs. A query is ignored. It is asked only where the target of
	// the request has a path that can be compared, without dot segments. Its errors are judged by the rule
	// of [bearergate.Guard]: one that is none of the eight sentinels is
	// [bearergate.ErrInvalidToken] with [bearergate.ReasonProof].
	//
	// Danger: a Target that builds the address from Host or from headers that a client can
	// send accepts proofs that were made for another service.
	Target func(bearergate.Call) (string, error)
	// Algorithms are the values of alg that are accepted, all of them asymmetric. Default:
	// [DefaultAlgorithms]. RSA keys have 2048 to 4096 bits, and an exponent of at most 65537.
	Algorithms []string
	// MaxAge is how long after iat a proof is accepted, in whole seconds of the clock.
	// Default: [DefaultMaxAge]; a second to 10 minutes. Not used where nonces are demanded.
	MaxAge time.Duration
	// Ahead is how far in the future iat may be, and the time of a nonce of another process.
	// Default: [DefaultAhead]; at most MaxAge and 59 seconds.
	Ahead time.Duration
	// MaxProofBytes is the longest proof. Default: [DefaultMaxProofBytes]; 1 to 16 KiB.
	MaxProofBytes int
	// MaxIDBytes is the longest jti. Default: [DefaultMaxIDBytes]; 22 to 4096.
	MaxIDBytes int
	// Replay remembers which proofs were used. Default: [NewMemory] with
	// [DefaultReplayEntries].
	//
	// Danger: with a store in memory, each process lets a proof in once, so does each Proofs
	// with one of its own, and after a restart it knows nothing. In a fleet, use one store for all; or demand Nonces with a
	// secret that is made when the process starts, where requests stay with a process.
	Replay ReplayStore
	// ReplayNamespace keeps tiers that share a store apart: a proof that the gateway has
	// used opens the service behind it once, too. Default: none.
	ReplayNamespace string
	// StoreTimeout is how long Replay may take. Default: [DefaultStoreTimeout]; at most 10 s.
	StoreTimeout time.Duration
	// Nonces demands, or offers, nonces (RFC 9449 §9). Default: none, and a nonce in a proof
	// is ignored.
	Nonces *Nonces
	// Now is the clock of proofs and nonces. Default: time.Now.
	Now func() time.Time
	// Hooks tell metrics and traces what was decided.
	Hooks Hooks
}

// Proofs confirms tokens that are bound to DPoP keys: a [bearergate.Binding]. It is safe
// for concurrent use.
type Proofs struct {
	bases         []place
	target        func(bearergate.Call) (string, error)
	algorithms    []string
	maxAge, ahead time.Duration
	maxProofBytes int
	maxIDBytes    int
	replay        replay
	nonces        *sealer // nil: none
	now           func() time.Time
	hooks         Hooks
	headers       *headers
}

var _ bearergate.Binding = (*Proofs)(nil)

// New returns the Proofs of a configuration, or all that is wrong with it, as one
// [bearergate.ErrMisconfigured].
func New(c Config) (*Proofs, error) {
	wrong := mistake.In("dpop")
	p := &Proofs{target: c.Target, now: c.Now, hooks: JoinHooks(c.Hooks), headers: newHeaders()}
	if p.now == nil {
		p.now = time.Now
	}
	p.bases = parseBases(&wrong, c)
	p.algorithms = parseAlgorithms(&wrong, c.Algorithms)
	mistake.Between(&wrong, "MaxAge", &c.MaxAge, DefaultMaxAge, time.Second, 10*time.Minute)
	mistake.Between(&wrong, "Ahead", &c.Ahead, min(DefaultAhead, c.MaxAge), time.Millisecond, min(59*time.Second, c.MaxAge))
	mistake.Between(&wrong, "MaxProofBytes", &c.MaxProofBytes, DefaultMaxProofBytes, 1<<10, 16<<10)
	mistake.Between(&wrong, "MaxIDBytes", &c.MaxIDBytes, DefaultMaxIDBytes, 22, 4096)
	mistake.Between(&wrong, "StoreTimeout", &c.StoreTimeout, DefaultStoreTimeout, time.Millisecond, 10*time.Second)
	p.maxAge, p.ahead, p.maxProofBytes, p.maxIDBytes = c.MaxAge, c.Ahead, c.MaxProofBytes, c.MaxIDBytes
	switch {
	case c.Replay == nil:
		c.Replay, _ = NewMemory(DefaultReplayEntries)
	case guard.IsNil(c.Replay):
		wrong.Addf("Replay is a nil pointer: leave it out for a store in memory, or use what the store's constructor returned")
	}
	p.replay = newReplay(c.Replay, c.ReplayNamespace, c.StoreTimeout)
	switch {
	case c.Nonces == nil:
	case c.Nonces.secrets == nil:
		wrong.Addf("Nonces is empty: use what NewNonces returned")
	default:
		p.nonces = c.Nonces.sealer(p.bases, p.ahead)
	}
	if err := wrong.Err(); err != nil {
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: err}
	}
	return p, nil
}

func parseBases(wrong *mistake.List, c Config) (bases []place) {
	switch {
	case len(c.BaseURLs) == 0 && c.Target == nil:
		wrong.Addf("BaseURLs is empty: name what clients call this API, such as https://api.example.com; no request says that")
	case len(c.BaseURLs) > 0 && c.Target != nil:
		wrong.Addf("BaseURLs and Target are both set: leave one of them out, for Target decides alone")
	}
	for i, text := range c.BaseURLs {
		base, ok := parsePlace(text)
		switch {
		case !ok:
			wrong.Addf("BaseURLs[%d] is %.200q: write https://host, with a port or the beginning of a path if clients call it so", i, text)
		case strings.ContainsAny(text, "?#"):
			wrong.Addf("BaseURLs[%d] is %.200q: leave query and fragment out", i, text)
		case slices.Contains(bases, base.base()):
			wrong.Addf("BaseURLs[%d] is %.200q, which is there before: leave it out", i, text)
		}
		bases = append(bases, base.base())
	}
	return bases
}

func parseAlgorithms(wrong *mistake.List, named []string) []string {
	if len(named) == 0 {
		named = DefaultAlgorithms()
	}
	all, unknown := jose.Named(named)
	for _, alg := range unknown {
		wrong.Addf("Algorithms: %.100q is not accepted: use asymmetric signatures, of %s, or leave it out for the default", alg, strings.Join(jose.Algorithms(), ", "))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Scheme is DPoP.
func (*Proofs) Scheme() bearergate.Scheme { return bearergate.SchemeDPoP }

// Members are jkt alone (RFC 9449 §6.1).
func (*Proofs) Members() []string { return []string{member} }

// Challenge is algs, the algorithms of proofs (RFC 9449 §7.1).
func (p *Proofs) Challenge() map[string]string {
	if p == nil {
		return nil
	}
	return map[string]string{"algs": strings.Join(p.algorithms, " ")}
}

// Confirm judges the proof of a call, and uses it up. Its errors hold nothing of the
// proof; all are [bearergate.ErrInvalidToken] unless said otherwise:
//
//   - [bearergate.ReasonBinding]: the proof is of another key than the token's, or jkt is
//     no thumbprint;
//   - [bearergate.ReasonProof]: there is no proof, or it is wrong in anything else;
//   - [bearergate.ReasonNonce]: it has no nonce of ours, or an old one. The Reply has a new one;
//   - [bearergate.ReasonReplay]: it was used before;
//   - [bearergate.ErrUnavailable] with [bearergate.ReasonStoreUnavailable] or
//     [bearergate.ReasonOverloaded]: Replay gave no answer, or is full;
//   - [bearergate.ErrMisconfigured]: the call has no Method or no Target, or
//     [Config].Target returned no address.
//
// The Reply has DPoP-Nonce and Cache-Control: no-store where the client is to use a new
// nonce. A handler that then sets a Cache-Control of its own must leave no-store in it (RFC
// 9449 §8.2).
func (p *Proofs) Confirm(ctx context.Context, call bearergate.Call, t *bearergate.Token) (bearergate.Reply, error) {
	if p == nil || p.headers == nil {
		return nil, misconfigured("the Proofs are nil or empty: use what New returned")
	}
	var e ProofEvent
	if p.hooks.Judged == nil {
		return p.confirm(ctx, call, t, &e)
	}
	start := time.Now()
	reply, err := p.confirm(ctx, call, t, &e)
	e.Err, e.Reason, e.Duration = err, bearergate.ReasonOf(err), time.Since(start)
	if e.Reason != bearergate.ReasonProof {
		e.Fault = "" // the step that was taken last
	}
	p.hooks.Judged(ctx, e)
	return reply, err
}

// confirm takes the steps in the order of the package comment.
func (p *Proofs) confirm(ctx context.Context, call bearergate.Call, t *bearergate.Token, e *ProofEvent) (bearergate.Reply, error) {
	text, _ := t.Confirmation().Value(member)
	jkt, ok := jose.ParseThumbprint(text)
	if !ok {
		return nil, unproven("the member jkt of cnf is not the thumbprint of a key: it has to be 43 characters of base64url without padding (RFC 9449 section 6.1)")
	}
	e.Fault = FaultForm
	sent := call.Values(proofHeader)
	switch {
	case len(sent) == 0:
		e.Fault = FaultMissing
		return nil, wrongProof("there is no DPoP header")
	case len(sent) > 1:
		return nil, wrongProof("there is more than one DPoP header")
	}
	buf := jose.Borrow()
	defer jose.GiveBack(buf, sent[0])
	jws, err := jose.Split(buf, sent[0], p.maxProofBytes)
	if err != nil {
		return nil, wrongForm(err)
	}
	e.Fault = FaultHeader
	header, err := p.header(sent[0], jws)
	if err != nil {
		return nil, err
	}
	e.Algorithm = header.alg
	if header.thumbprint != jkt {
		return nil, unproven("the proof is of another key than the one to which the token is bound")
	}
	claims, err := p.judge(ctx, call, jws.Payload, e)
	if err != nil {
		return nil, err
	}
	e.Fault = FaultSignature
	if err := p.headers.verify(header, jws); err != nil {
		return nil, err
	}
	until, reply, err := p.judgeNonce(claims, e)
	if err != nil {
		return reply, err
	}
	if err := p.replay.use(ctx, text, claims.id, p.now(), until, e); err != nil {
		return nil, err
	}
	return reply, nil
}

// judgeNonce returns until when the proof would be accepted.
func (p *Proofs) judgeNonce(c claims, e *ProofEvent) (until time.Time, reply bearergate.Reply, err error) {
	// The clock counts whole seconds, and the processes of a fleet differ by one.
	until = c.issuedAt.Add(p.maxAge + 2*time.Second)
	if p.nonces == nil {
		return until, nil, nil
	}
	now := p.now()
	minted, ok := p.nonces.open(c.nonce, now)
	switch {
	case !ok && (c.nonce != "" || !p.nonces.offer):
		e.Nonce = NonceDemanded
		what := "the proof has no nonce"
		if c.nonce != "" {
			what = "the nonce of the proof is not one of ours, or an old one"
		}
		return until, p.nonces.reply(now), &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonNonce, Detail: "dpop: " + what}
	case !ok:
		e.Nonce = NonceOffered
		return until, p.nonces.reply(now), nil
	}
	// Where iat was not looked at, the nonce alone says when the proof ends. Where it was, the
	// later of both: another process of the fleet may demand nonces already.
	if end := minted.Add(p.nonces.life + time.Second); !p.nonces.offer || end.After(until) {
		until = end
	}
	e.Nonce = NonceAccepted
	if now.Sub(minted) > p.nonces.life/2 {
		e.Nonce = NonceRenewed
		reply = p.nonces.reply(now)
	}
	return until, reply, nil
}

func wrongProof(what string) error {
	return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonProof, Detail: "dpop: " + what}
}

// wrongForm says what package jose found; its texts hold nothing of a proof.
func wrongForm(err error) error {
	if errors.Is(err, jose.ErrTooLarge) {
		return wrongProof("the proof is longer than MaxProofBytes")
	}
	return wrongProof(strings.TrimPrefix(err.Error(), "jose: "))
}

func unproven(what string) error {
	return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonBinding, Detail: "dpop: " + what}
}

func misconfigured(what string) error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: fmt.Errorf("dpop: %s", what)}
}
