package middleware

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/bearergate/bearergate"
)

// ReplayStore remembers what was used. It must be safe for concurrent use, and one
// store for all processes that serve the route: each store lets a token in once.
type ReplayStore interface {
	// Use marks key as used until then, and reports whether it was not, in one atomic
	// step: of two calls at once, one gets true. A store that is full or cannot be
	// reached returns an error, and never forgets a key early to make room. The key is
	// 43 characters of base64url, equal in all processes, and says nothing about the
	// token.
	Use(ctx context.Context, key string, until time.Time) (fresh bool, err error)
}

// Once lets a token open the route one time: for links that are sent by mail,
// payments, and whatever else must not happen again because somebody copied a token.
// A token is known by iss and jti. The second time it is
// [bearergate.ErrInvalidToken] with [bearergate.ReasonReplay], and so it is for a
// client that retries: it needs a new token for every request. A token without jti,
// or without exp, which says how long to remember it, is ErrInvalidToken with
// [bearergate.ReasonMissingClaim].
//
// The store is asked last, so that only a request that would enter uses the token up.
// That is so whatever the handler then does, under [Config.InsecureReportOnly] too. The
// store has [PolicyTimeout] to answer; one that ignores its context is left behind, in
// one goroutine for each request. While it cannot answer, nobody enters:
// [bearergate.ErrUnavailable] with [bearergate.ReasonStoreUnavailable]. A token may
// then be used up or not, as nobody knows whether the store got the question.
//
// Routes that share a store share the count: a token that opened one of them opens
// none of the others. Give each its own, or a store that adds something to the key,
// where that is not meant. A request that is decided twice, by an outer and an inner
// gate or by [Router.Decide] and the Handler, is used up by the first.
//
// A route has one Once. A second one, and a nil or typed nil store, are mistakes, and
// close the route.
func Once(store ReplayStore) RouteOption { return &once{store} }

type once struct{ store ReplayStore }

func (*once) routeOption() {}

const (
	// longestLeeway is what a verifier may be told to accept a token for after exp.
	longestLeeway = 5 * time.Minute
	// storeGrace is how long a store may take to say that its context has ended.
	storeGrace = 100 * time.Millisecond
	// onceKey begins what is hashed, so that a store that also remembers other things
	// does not take one for the other.
	onceKey = "bearergate middleware.Once 1\x00"
)

var (
	errUsed = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonReplay,
		Detail: "the token has opened this route before, or one that shares its store"}
	errUnknowable = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonMissingClaim,
		Detail: "Once knows a token by jti and for as long as exp says, and one of them is missing"}
	errUnanswered = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable,
		Detail: "the store of Once did not come back"}
	errStore = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, Cause: errors.New("middleware: the store of Once")}
)

// use uses the token up, if the route asks for that.
func (rt *route) use(ctx context.Context, token *bearergate.Token) error {
	if rt.once == nil {
		return nil
	}
	until := usableUntil(token)
	if err := usableOnce(token, until); err != nil {
		return err
	}
	key, asked := replayKey(token), make(chan error, 1) // not waited for if the store ignores its context
	go func() {
		err := error(errUnanswered)
		defer func() { asked <- err }() // also after Goexit
		err = bearergate.GuardWithin(ctx, PolicyTimeout, errStore, func(ctx context.Context) error {
			fresh, err := rt.once.store.Use(ctx, key, until)
			if err == nil && !fresh {
				return errUsed
			}
			return err
		})
	}()
	select {
	case err := <-asked:
		return err
	case <-time.After(PolicyTimeout + storeGrace):
		return errUnanswered
	}
}

// usableUntil is how long a token that was used has to be remembered.
func usableUntil(token *bearergate.Token) time.Time {
	return token.ExpiresAt().Add(longestLeeway + time.Second)
}

// usableOnce refuses a token that cannot be remembered: the store would forget it at once.
// Without exp, until is long past.
func usableOnce(token *bearergate.Token, until time.Time) error {
	if token.ID() == "" || !time.Now().Before(until) {
		return errUnknowable
	}
	return nil
}

// replayKey is the same in every process, for a token whatever it is sent with. The
// lengths keep an issuer and a jti from being read as another pair.
func replayKey(token *bearergate.Token) string {
	b := []byte(onceKey)
	for _, s := range []string{token.Issuer(), token.ID()} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
