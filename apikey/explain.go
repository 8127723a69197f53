package apikey

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/quote"
)

// What to do, for operators.
const (
	adviceForm    = "The text is not a key of this API: compare how it begins and ends with what its owner was given. A character is missing, or it is of another API."
	adviceJWT     = "The client sends its access token where the API key belongs: it has to send Authorization: Bearer instead."
	adviceThere   = "The client sends its API key as an access token: the key belongs into the header, or the scheme, of Config. It may stand in somebody's log by now: give it a new one."
	adviceUnknown = "There is no key with this ID, or its secret is another one: look the ID up in your records; the key may have been taken out."
	adviceEnded   = "API keys have ended: Config.End has passed. The client needs an access token; to give it more time, change Config.End for all."
	adviceOver    = "This key has reached its NotAfter: the client needs an access token, or its owner a later date in the record."
	adviceBroken  = "Lookup panicked, or returned a record that New would refuse: the error says which. The key may be good."
	adviceStore   = "Lookup, or the store that it asks, has not answered: the key may be good."
)

// Explain says check by check why a key that [Keys.Extract] returned is accepted or
// refused, and has Tokens explain everything else. Lookup is asked anew. Nothing is counted,
// and no hook is told. What it says holds no key.
func (k *Keys) Explain(ctx context.Context, token string) bearergate.Explanation {
	if k == nil || k.config.Tokens == nil {
		return bearergate.Explanation{By: k}.Then(bearergate.Step{Name: "verifier"}, func() error { return errZero })
	}
	if ctx == nil {
		ctx = context.Background()
	}
	e := bearergate.Explanation{By: k}
	key, is := strings.CutPrefix(token, mark)
	if !is {
		return k.explainOther(ctx, token)
	}
	var (
		id      string
		sum     Hash
		found   *entry
		foundID string
		now     = k.config.Now()
	)
	// then adds a step, with what to do if it is the one that refuses.
	then := func(step bearergate.Step, check func() error, advice func(error) string) {
		before := e.Err
		if e = e.Then(step, check); before == nil && e.Err != nil {
			e.Advice = append(e.Advice, advice(e.Err))
		}
	}
	then(bearergate.Step{Name: "form", Expected: k.expected()}, func() (err error) {
		id, sum, err = k.identify(key)
		return err
	}, func(err error) string {
		if bearergate.ReasonOf(err) == bearergate.ReasonType {
			return adviceJWT
		}
		return adviceForm
	})
	if id != "" {
		foundID = quote.One(id)
	}
	then(bearergate.Step{Name: "key", Found: foundID, Unsigned: true}, func() (err error) {
		if k.asked != nil {
			found, err = k.asked.ask(ctx, id)
		} else {
			found = k.fixed[id]
		}
		if err != nil {
			_, err = k.afterEnd(err, now)
			return err
		}
		if err := k.judge(found, sum, now); err == errUnknown {
			return err
		}
		return nil
	}, func(err error) string {
		switch {
		case errors.Is(err, bearergate.ErrUnavailable):
			return adviceStore
		case errors.Is(err, bearergate.ErrMisconfigured):
			return adviceBroken
		case bearergate.ReasonOf(err) == bearergate.ReasonExpired:
			return adviceEnded
		}
		return adviceUnknown
	})
	until := ""
	if found != nil {
		until = found.until.UTC().Format(time.RFC3339)
	}
	then(bearergate.Step{Name: "times", Expected: "before " + k.config.End.UTC().Format(time.RFC3339) + ", and before the end of the key", Found: until}, func() error {
		if err := k.judge(found, sum, now); err != nil {
			return err
		}
		return nil
	}, func(error) string {
		if !now.Before(k.config.End) {
			return adviceEnded
		}
		return adviceOver
	})
	if e.Err == nil {
		e.Token = found.token
	}
	return e
}

func (k *Keys) expected() string {
	if k.legacy != nil {
		return k.config.Prefix + "_…, or a key of the older system"
	}
	return k.config.Prefix + "_…"
}

func (k *Keys) explainOther(ctx context.Context, token string) bearergate.Explanation {
	if k.isKey(token) {
		e := bearergate.Explanation{By: k}.Then(bearergate.Step{Name: "kind of credential", Expected: "an access token"}, func() error { return errKeyThere })
		e.Advice = []string{adviceThere}
		return e
	}
	e := bearergate.Explain(ctx, k.config.Tokens, token)
	if k.Issued(e.Token) {
		e = e.Then(bearergate.Step{Name: "issuer of the keys"}, func() error { return errSpoofed })
	}
	e.By = k
	return e
}
