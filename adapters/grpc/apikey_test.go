package grpcgate_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

// API keys come in metadata of their own, or under a scheme of their own, beside tokens.
func TestAPIKeys(t *testing.T) {
	key, record, err := apikey.Generate("orders")
	require.NoError(t, err)
	record.Owner, record.Scopes = "acme", []string{"read"}
	_, other, err := apikey.Generate("orders")
	require.NoError(t, err)
	other.Owner = "other"
	unknown, _, err := apikey.Generate("orders")
	require.NoError(t, err)
	raw := key.Reveal()
	ended := time.Now().Add(-time.Second)
	for _, tc := range []struct {
		name     string
		scheme   bool
		end      time.Time
		metadata []string
		code     codes.Code
		says     string
		reason   bearergate.Reason
		client   string
	}{
		{name: "a key", metadata: []string{"x-api-key", raw}, client: "acme"},
		{name: "a token", metadata: []string{"authorization", "Bearer good"}, client: "c1"},
		{name: "nothing", code: codes.Unauthenticated, says: "MISSING_TOKEN", reason: bearergate.ReasonNoToken},
		{name: "both", metadata: []string{"x-api-key", raw, "authorization", "Bearer good"}, code: codes.InvalidArgument, says: "INVALID_REQUEST", reason: bearergate.ReasonBadRequest},
		{name: "the key twice", metadata: []string{"x-api-key", raw, "x-api-key", raw}, code: codes.InvalidArgument, says: "INVALID_REQUEST", reason: bearergate.ReasonBadRequest},
		{name: "a key as Bearer", metadata: []string{"authorization", "Bearer " + raw}, code: codes.Unauthenticated, says: "INVALID_TOKEN", reason: bearergate.ReasonType},
		{name: "an unknown key", metadata: []string{"x-api-key", unknown.Reveal()}, code: codes.Unauthenticated, says: "TOKEN_INACTIVE", reason: bearergate.ReasonInactive},
		{name: "after the date", end: ended, metadata: []string{"x-api-key", raw}, code: codes.Unauthenticated, says: "TOKEN_EXPIRED", reason: bearergate.ReasonExpired},
		{name: "the scheme ApiKey", scheme: true, metadata: []string{"authorization", "ApiKey " + raw}, client: "acme"},
		{name: "the scheme ApiKey beside Bearer", scheme: true, metadata: []string{"authorization", "ApiKey " + raw, "authorization", "Bearer good"}, code: codes.InvalidArgument, says: "INVALID_REQUEST", reason: bearergate.ReasonBadRequest},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := apikey.Config{Issuer: "urn:example:api-keys", Prefix: "orders", Header: "X-API-Key", Records: []apikey.Record{record, other},
				Tokens: bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
					return bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.com", Subject: "u1", ClientID: "c1", Scopes: scope.Of("read")}), nil
				}), End: tc.end}
			if tc.scheme {
				c.Header = ""
			}
			if tc.end.IsZero() {
				c.End = time.Now().Add(time.Hour)
			}
			keys, err := apikey.New(c)
			require.NoError(t, err)
			var told events
			gate := newGate(t, keys, grpcgate.Config{Extract: keys.ExtractCall, Hooks: told.hooks()})
			s := &service{}
			conn := serve(t, gate, s)
			ctx := metadata.AppendToOutgoingContext(t.Context(), tc.metadata...)
			for _, err := range []error{call(ctx, conn), stream(ctx, conn)} {
				if tc.code == codes.OK {
					require.NoError(t, err)
				} else {
					requireStatus(t, err, tc.code, tc.says)
					require.NotContains(t, err.Error(), raw)
				}
			}
			for _, e := range told.take() {
				require.Equal(t, tc.reason, bearergate.ReasonOf(e.Err))
				if tc.client != "" {
					require.Equal(t, tc.client, e.Token.ClientID())
				}
			}
			in := metadata.NewIncomingContext(t.Context(), metadata.Pairs(tc.metadata...))
			e := gate.Explain(in, unaryCall)
			require.Equal(t, tc.reason, bearergate.ReasonOf(e.Err))
			if tc.reason == bearergate.ReasonBadRequest || tc.reason == bearergate.ReasonNoToken {
				require.Contains(t, e.Advice[0], "where Extract of this gate reads one")
			}
		})
	}
}

// What Extract returns is judged as that of any function of the user's.
func TestExtract(t *testing.T) {
	good := bearergate.NewSecret("good")
	type result = func(bearergate.Call) (bearergate.Credentials, error)
	for _, tc := range []struct {
		name   string
		f      result
		kind   error
		reason bearergate.Reason
	}{
		{name: "without a scheme", f: func(bearergate.Call) (bearergate.Credentials, error) {
			return bearergate.Credentials{Raw: good}, nil
		}},
		{name: "what the call shows", f: func(c bearergate.Call) (bearergate.Credentials, error) {
			if c.Method != "POST" || c.Target != unaryCall || c.Raw.Reveal() != "" || c.Host == "" || len(c.Header("X-Key")) != 1 {
				return bearergate.Credentials{}, errors.New("something is missing")
			}
			return bearergate.Credentials{Scheme: bearergate.SchemeBearer, Raw: bearergate.NewSecret(c.Header("X-Key")[0])}, nil
		}},
		{name: "nothing", f: func(bearergate.Call) (bearergate.Credentials, error) { return bearergate.Credentials{}, nil },
			kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken},
		{name: "credentials and an error", f: func(bearergate.Call) (bearergate.Credentials, error) {
			return bearergate.Credentials{Raw: good}, bearergate.ErrInvalidRequest
		}, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		{name: "a store that is down", f: func(bearergate.Call) (bearergate.Credentials, error) {
			return bearergate.Credentials{Raw: good}, bearergate.ErrUnavailable
		}, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		{name: "any other error", f: func(bearergate.Call) (bearergate.Credentials, error) {
			return bearergate.Credentials{Raw: good}, errors.New("boom")
		}, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		{name: "a panic", f: func(bearergate.Call) (bearergate.Credentials, error) { panic("boom") },
			kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		{name: "DPoP without a Binding", f: func(bearergate.Call) (bearergate.Credentials, error) {
			return bearergate.Credentials{Scheme: bearergate.SchemeDPoP, Raw: good}, nil
		}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var told events
			s := &service{}
			gate := newGate(t, bearergate.VerifierFunc(func(_ context.Context, raw string) (*bearergate.Token, error) {
				require.Equal(t, "good", raw)
				return bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.com", Scopes: scope.Of("read")}), nil
			}), grpcgate.Config{Extract: tc.f, Hooks: told.hooks()})
			err := call(metadata.AppendToOutgoingContext(t.Context(), "x-key", "good", "authorization", "Bearer bad"), serve(t, gate, s))
			events := told.take()
			require.Len(t, events, 1)
			if tc.kind == nil {
				require.NoError(t, err)
				require.Equal(t, 1, s.count())
				return
			}
			require.Error(t, err)
			require.Zero(t, s.count())
			kit.RequireError(t, events[0].Err, tc.kind, tc.reason)
		})
	}
}
