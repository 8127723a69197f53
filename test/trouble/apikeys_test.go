package trouble_test

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/jwtverify"
)

// keyed is an API that takes keys in X-Api-Key beside the tokens of its issuer.
type keyed struct {
	config apikey.Config
	key    string
	record apikey.Record
}

// byKey sends a good key, after change.
func byKey(change func(*try, *keyed)) func(*try) {
	return func(y *try) {
		key, r, err := apikey.Generate("orders")
		require.NoError(y.t, err)
		r.Owner, r.Scopes = shop, []string{"orders:read"}
		k := &keyed{config: apikey.Config{Issuer: "urn:example:api-keys", Prefix: "orders", Header: "X-Api-Key", End: time.Now().AddDate(1, 0, 0)}, key: key.Reveal(), record: r}
		y.token = func() string { return k.key }
		inHeader(y)
		if change != nil {
			change(y, k)
		}
		y.verifier = func() (bearergate.Verifier, error) {
			v, err := jwtverify.New(y.jwt)
			require.NoError(y.t, err)
			k.config.Tokens = v
			if k.config.Lookup == nil {
				k.config.Records = []apikey.Record{k.record}
			}
			keys, err := apikey.New(k.config)
			if err == nil {
				y.gate.Extract = keys.Extract
			}
			return keys, err
		}
	}
}

// inHeader sends what is sent as a key.
func inHeader(y *try) {
	var sent string
	y.authorization = func(token string) []string { sent = token; return nil }
	y.request = func(r *http.Request) { r.Header["X-Api-Key"] = []string{sent} }
}

func goodKey(y *try) { byKey(nil)(y) }

func apiKeys() area {
	return area{
		title: "API keys",
		about: "An API takes API keys beside access tokens, with apikey.Keys as its verifier and their Extract in the gate.",
		base:  func(*try) {},
		rows: []row{
			{
				title: "There is no such key", status: http.StatusUnauthorized, reason: bearergate.ReasonInactive,
				wrong: byKey(func(y *try, k *keyed) {
					_, other, err := apikey.Generate("orders")
					require.NoError(y.t, err)
					k.record.ID, k.record.Hash = other.ID, other.Hash
				}),
				mended: "The client has a key that is among the records.", mend: goodKey,
			},
			{
				title: "A character of the key is missing", status: http.StatusUnauthorized, reason: bearergate.ReasonMalformed,
				wrong:  byKey(func(_ *try, k *keyed) { k.key = k.key[:len(k.key)-1] }),
				mended: "The client sends all of it.", mend: goodKey,
			},
			{
				title: "The key is sent as a Bearer token", status: http.StatusUnauthorized, reason: bearergate.ReasonType,
				wrong: byKey(func(y *try, _ *keyed) {
					y.authorization, y.request = func(token string) []string { return []string{"Bearer " + token} }, func(*http.Request) {}
				}),
				mended: "The client sends it in X-Api-Key, after it was given a new one.", mend: goodKey,
			},
			{
				title: "The access token is sent where the key belongs", status: http.StatusUnauthorized, reason: bearergate.ReasonType,
				wrong: byKey(func(y *try, _ *keyed) {
					y.token = func() string { return y.from.Sign(map[string]any{}, map[string]any{"iss": issuer}) }
				}),
				mended: "The client sends a key there.", mend: goodKey,
			},
			{
				title: "A key and an access token are sent", status: http.StatusBadRequest, reason: bearergate.ReasonBadRequest,
				wrong: byKey(func(y *try, _ *keyed) {
					request := y.request
					y.request = func(r *http.Request) { request(r); r.Header["Authorization"] = []string{"Bearer x"} }
				}),
				mended: "The client sends one of them.", mend: goodKey,
			},
			{
				title: "The key has reached its end", status: http.StatusUnauthorized, reason: bearergate.ReasonExpired,
				wrong:  byKey(func(_ *try, k *keyed) { k.record.NotAfter = time.Now() }),
				mended: "The record says a later one.", mend: goodKey,
			},
			{
				title: "All keys have reached their end", status: http.StatusUnauthorized, reason: bearergate.ReasonExpired,
				wrong:  byKey(func(_ *try, k *keyed) { k.config.End = time.Now() }),
				mended: "Config.End is later. It would be better that the client got a token.", mend: goodKey,
			},
			{
				title: "The store of keys does not answer", status: http.StatusServiceUnavailable, reason: bearergate.ReasonStoreUnavailable,
				wrong: byKey(func(_ *try, k *keyed) {
					k.config.Lookup = func(ctx context.Context, _ string) (apikey.Record, bool, error) {
						<-ctx.Done()
						return apikey.Record{}, false, errors.New("i/o timeout")
					}
				}),
				mended: "It answers.", mend: goodKey,
			},
			{
				title: "Lookup returns the record of another key", status: http.StatusInternalServerError, reason: bearergate.ReasonConfig,
				wrong: byKey(func(y *try, k *keyed) {
					_, other, err := apikey.Generate("orders")
					require.NoError(y.t, err)
					other.Owner = shop
					k.config.Lookup = func(context.Context, string) (apikey.Record, bool, error) { return other, true, nil }
				}),
				mended: "It returns the one that it was asked for.", mend: goodKey,
			},
		},
	}
}
