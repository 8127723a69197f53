package bearergate_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/stretchr/testify/require"
)

var sentinels = []error{
	bearergate.ErrMissingToken,
	bearergate.ErrInvalidRequest,
	bearergate.ErrInvalidToken,
	bearergate.ErrInsufficientScope,
	bearergate.ErrInsufficientAuthentication,
	bearergate.ErrForbidden,
	bearergate.ErrUnavailable,
	bearergate.ErrMisconfigured,
}

// kindsOf returns the sentinels that are true of err.
func kindsOf(err error) []error {
	var kinds []error
	for _, s := range sentinels {
		if errors.Is(err, s) {
			kinds = append(kinds, s)
		}
	}
	return kinds
}

// requireKind asserts that kind is the one true sentinel of err, and why.
func requireKind(t *testing.T, err, kind error, reason bearergate.Reason) {
	t.Helper()
	require.Equal(t, []error{kind}, kindsOf(err), "%v", err)
	require.Equal(t, reason, bearergate.ReasonOf(err), "%v", err)
	var e *bearergate.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, kind, bearergate.AsError(err).Kind)
	require.Equal(t, reason, bearergate.AsError(err).Reason)
}

const (
	accepted = iota
	missing
	invalid
)

// req: R6750-01, R6750-04
func TestBearerToken(t *testing.T) {
	const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"
	for _, tc := range []struct {
		name   string
		values []string
		want   int
		token  string
	}{
		{"usual", []string{"Bearer " + jwt}, accepted, jwt},
		{"lower case", []string{"bearer abc"}, accepted, "abc"},
		{"upper case", []string{"BEARER abc"}, accepted, "abc"},
		{"mixed case", []string{"bEaReR abc"}, accepted, "abc"},
		{"two spaces", []string{"Bearer  abc"}, accepted, "abc"}, // 1*SP
		{"twenty spaces", []string{"Bearer" + strings.Repeat(" ", 20) + "abc"}, accepted, "abc"},
		{"every character", []string{"Bearer AZaz09-._~+/"}, accepted, "AZaz09-._~+/"},
		{"one character", []string{"Bearer x"}, accepted, "x"},
		{"padding", []string{"Bearer abc="}, accepted, "abc="},
		{"HDR-025: much padding", []string{"Bearer test-token===="}, accepted, "test-token===="},
		{"the token Bearer", []string{"Bearer Bearer"}, accepted, "Bearer"},
		{"not judged by length", []string{"Bearer " + strings.Repeat("a", 1<<20)}, accepted, strings.Repeat("a", 1<<20)},

		{"nil", nil, missing, ""},
		{"none", []string{}, missing, ""},
		{"empty", []string{""}, missing, ""},
		{"HDR-014: Basic", []string{"Basic dXNlcjpwYXNz"}, missing, ""},
		{"HDR-016: DPoP", []string{"DPoP " + jwt}, missing, ""},
		{"HDR-016: Token", []string{"Token " + jwt}, missing, ""},
		{"HDR-016: JWT", []string{"JWT " + jwt}, missing, ""},
		{"HDR-016: MAC", []string{"MAC id=abc"}, missing, ""},
		{"HDR-012: no space", []string{"Bearer" + jwt}, missing, ""}, // the name of another scheme
		{"a longer scheme", []string{"Bearer-v2 abc"}, missing, ""},
		{"a shorter scheme", []string{"Beare abc"}, missing, ""},
		{"a bare token", []string{jwt}, missing, ""},
		{"a bare word", []string{"abc"}, missing, ""},
		{"letters that look like it", []string{"Веarer abc"}, missing, ""},
		{"a BOM before the scheme", []string{"\ufeffBearer abc"}, missing, ""},

		{"HDR-009: scheme alone", []string{"Bearer"}, invalid, ""},
		{"HDR-009: scheme and space", []string{"Bearer "}, invalid, ""},
		{"HDR-009: scheme and spaces", []string{"Bearer    "}, invalid, ""},
		{"HDR-013: scheme twice", []string{"Bearer Bearer " + jwt}, invalid, ""},
		{"HDR-017: the same value twice", []string{"Bearer abc", "Bearer abc"}, invalid, ""},
		{"HDR-018: two values", []string{"Bearer abc", "Bearer def"}, invalid, ""},
		{"a value and an empty one", []string{"Bearer abc", ""}, invalid, ""},
		{"an empty value and one", []string{"", "Bearer abc"}, invalid, ""},
		{"two empty values", []string{"", ""}, invalid, ""},
		{"Basic and Bearer", []string{"Basic abc", "Bearer abc"}, invalid, ""},
		{"three values", []string{"Bearer a", "Bearer b", "Bearer c"}, invalid, ""},
		{"joined by a comma", []string{"Bearer abc, Bearer def"}, invalid, ""},
		{"joined by a comma alone", []string{"Bearer abc,Bearer def"}, invalid, ""},
		{"a comma at the end", []string{"Bearer abc,"}, invalid, ""},
		{"a comma for a space", []string{"Bearer,abc"}, invalid, ""},
		{"a colon", []string{"Bearer: abc"}, invalid, ""},
		{"an equals sign", []string{"Bearer=abc"}, invalid, ""},
		{"a tab", []string{"Bearer\tabc"}, invalid, ""},
		{"a tab after the space", []string{"Bearer \tabc"}, invalid, ""},
		{"a tab before the space", []string{"Bearer\t abc"}, invalid, ""},
		{"a line end", []string{"Bearer\r\n abc"}, invalid, ""},
		{"a space before", []string{" Bearer abc"}, invalid, ""},
		{"a tab before", []string{"\tBearer abc"}, invalid, ""},
		{"only white space", []string{" "}, invalid, ""},
		{"a space after", []string{"Bearer abc "}, invalid, ""},
		{"a tab after", []string{"Bearer abc\t"}, invalid, ""},
		{"a line end after", []string{"Bearer abc\n"}, invalid, ""},
		{"two tokens", []string{"Bearer abc def"}, invalid, ""},
		{"a parameter", []string{`Bearer token="abc"`}, invalid, ""},
		{"HDR-023: quotes", []string{`Bearer an"invalid"token`}, invalid, ""},
		{"in quotes", []string{`Bearer "abc"`}, invalid, ""},
		{"padding alone", []string{"Bearer ="}, invalid, ""},
		{"padding before", []string{"Bearer =abc"}, invalid, ""},
		{"padding within", []string{"Bearer ab=c"}, invalid, ""},
		{"percent", []string{"Bearer ab%3D"}, invalid, ""},
		{"not ASCII", []string{"Bearer añb"}, invalid, ""},
		{"a wide letter", []string{"Bearer ａbc"}, invalid, ""},
		{"a NUL", []string{"Bearer abc\x00"}, invalid, ""},
		{"a NUL before the space", []string{"Bearer\x00 abc"}, invalid, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token, err := bearergate.BearerToken(tc.values)
			require.Equal(t, tc.token, token)
			switch tc.want {
			case accepted:
				require.NoError(t, err)
			case missing:
				requireKind(t, err, bearergate.ErrMissingToken, bearergate.ReasonNoToken)
			case invalid:
				requireKind(t, err, bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest)
			}
		})
	}
}

// bearerSyntax is RFC 6750 §2.1 as a regular expression: the slow reference.
var bearerSyntax = regexp.MustCompile(`^[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]+=*)$`)

// req: R6750-01
func TestBearerTokenEveryByte(t *testing.T) {
	for i := range 256 {
		b := string([]byte{byte(i)})
		for place, value := range map[string]string{
			"before the scheme":    b + "Bearer abc",
			"in the scheme":        "Bea" + b + "rer abc",
			"instead of the space": "Bearer" + b + "abc",
			"before the space":     "Bearer" + b + " abc",
			"after the space":      "Bearer " + b + "abc",
			"in the token":         "Bearer ab" + b + "cd",
			"after the token":      "Bearer abc" + b,
			"as the token":         "Bearer " + b,
			"alone":                b,
		} {
			token, err := bearergate.BearerToken([]string{value})
			if m := bearerSyntax.FindStringSubmatch(value); m != nil {
				require.NoError(t, err, "%q %s", b, place)
				require.Equal(t, m[1], token, "%q %s", b, place)
				continue
			}
			require.Empty(t, token, "%q %s", b, place)
			switch place {
			case "after the space", "in the token", "after the token", "as the token":
				requireKind(t, err, bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest)
			case "instead of the space", "before the space":
				if regexp.MustCompile("^[0-9A-Za-z!#$%&'*+.^_`|~-]$").MatchString(b) { // another scheme's name
					requireKind(t, err, bearergate.ErrMissingToken, bearergate.ReasonNoToken)
				} else {
					requireKind(t, err, bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest)
				}
			default:
				require.Len(t, kindsOf(err), 1, "%q %s", b, place)
			}
		}
	}
}

// The text of an error never repeats what the client sent.
func TestBearerTokenErrorHoldsNoToken(t *testing.T) {
	for _, value := range []string{"Bearer s3cr3t s3cr3t", "Bearer s3cr3t\"", "s3cr3t", "Bearer,s3cr3t", " s3cr3t", "Basic s3cr3t"} {
		_, err := bearergate.BearerToken([]string{value})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "s3cr3t")
	}
}

func FuzzBearerToken(f *testing.F) {
	for _, seed := range []string{"", "Bearer abc", "bearer  abc==", "Bearer a, Bearer b", "Basic x", "Bearer\tx", "Bearer =", "\u212aearer x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		token, err := bearergate.BearerToken([]string{value})
		m := bearerSyntax.FindStringSubmatch(value)
		if (m != nil) != (err == nil) {
			t.Fatalf("%q: %v", value, err)
		}
		if err == nil {
			if token != m[1] {
				t.Fatalf("%q: %q", value, token)
			}
			again, err := bearergate.BearerToken([]string{"Bearer " + token})
			if err != nil || again != token {
				t.Fatalf("%q does not come back: %q, %v", token, again, err)
			}
			return
		}
		if token != "" || len(kindsOf(err)) != 1 {
			t.Fatalf("%q: %q, %v", value, token, err)
		}
	})
}

type structVerifier struct{ token *bearergate.Token }

func (v *structVerifier) Verify(context.Context, string) (*bearergate.Token, error) {
	return v.token, nil // a nil *structVerifier would panic
}

type mapVerifier map[string]*bearergate.Token

func (v mapVerifier) Verify(_ context.Context, token string) (*bearergate.Token, error) {
	return v[token], nil
}

type sliceVerifier []string

func (sliceVerifier) Verify(context.Context, string) (*bearergate.Token, error) {
	return bearergate.NewToken(bearergate.Claims{}), nil
}

type chanVerifier chan int

func (chanVerifier) Verify(context.Context, string) (*bearergate.Token, error) {
	return bearergate.NewToken(bearergate.Claims{}), nil
}

// embedding is not nil itself, only what it promotes Verify from.
type embedding struct{ bearergate.Verifier }

func TestVerify(t *testing.T) {
	const raw = "s3cr3t-token"
	good := bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example"})
	answer := func(token *bearergate.Token, err error) bearergate.Verifier {
		return bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return token, err })
	}
	panicking := func(with func()) bearergate.Verifier {
		return bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
			with()
			return good, nil
		})
	}
	var nilPointer *structVerifier
	var nilError *bearergate.Error
	boom := errors.New("boom")

	t.Run("accepted", func(t *testing.T) {
		for name, v := range map[string]bearergate.Verifier{
			"func":     answer(good, nil),
			"pointer":  &structVerifier{good},
			"map":      mapVerifier{raw: good},
			"embedded": embedding{answer(good, nil)},
		} {
			token, err := bearergate.Verify(t.Context(), v, raw)
			require.NoError(t, err, name)
			require.Same(t, good, token, name)
		}
	})

	t.Run("what the verifier is given", func(t *testing.T) {
		type key struct{}
		ctx := context.WithValue(t.Context(), key{}, "value")
		_, err := bearergate.Verify(ctx, bearergate.VerifierFunc(func(c context.Context, token string) (*bearergate.Token, error) {
			require.Equal(t, ctx, c)
			require.Equal(t, raw, token)
			return good, nil
		}), raw)
		require.NoError(t, err)
	})

	for _, tc := range []struct {
		name   string
		v      bearergate.Verifier
		token  string
		kind   error
		reason bearergate.Reason
	}{
		{"nil", nil, raw, bearergate.ErrMisconfigured, bearergate.ReasonConfig},
		{"nil func", bearergate.VerifierFunc(nil), raw, bearergate.ErrMisconfigured, bearergate.ReasonConfig},
		{"nil pointer", nilPointer, raw, bearergate.ErrMisconfigured, bearergate.ReasonConfig},
		{"nil map", mapVerifier(nil), raw, bearergate.ErrMisconfigured, bearergate.ReasonConfig},
		{"nil slice", sliceVerifier(nil), raw, bearergate.ErrMisconfigured, bearergate.ReasonConfig},
		{"nil chan", chanVerifier(nil), raw, bearergate.ErrMisconfigured, bearergate.ReasonConfig},
		{"nil, without a token", nil, "", bearergate.ErrMisconfigured, bearergate.ReasonConfig},
		{"nil within", embedding{}, raw, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"no token", answer(good, nil), "", bearergate.ErrMissingToken, bearergate.ReasonNoToken},

		{"neither token nor error", answer(nil, nil), raw, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"a zero token", answer(&bearergate.Token{}, nil), raw, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"token and error", answer(good, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired}), raw, bearergate.ErrInvalidToken, bearergate.ReasonExpired},
		{"token and foreign error", answer(good, boom), raw, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"foreign error", answer(nil, boom), raw, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"nil error of type *Error", answer(good, nilError), raw, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"two sentinels", answer(nil, errors.Join(bearergate.ErrInvalidToken, bearergate.ErrUnavailable)), raw, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"all sentinels", answer(nil, yesMan{}), raw, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"an error that panics", answer(good, panicError{}), raw, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"unknown kind", answer(nil, &bearergate.Error{Kind: boom, Reason: bearergate.ReasonExpired}), raw, bearergate.ErrMisconfigured, bearergate.ReasonExpired},

		{"panic with an error", panicking(func() { panic(boom) }), raw, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"panic with a sentinel", panicking(func() { panic(bearergate.ErrInvalidToken) }), raw, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"panic with the token", panicking(func() { panic("cannot parse " + raw) }), raw, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"panic with nil", panicking(func() { panic(nil) }), raw, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"runtime error", panicking(func() { _ = []int(nil)[len(raw)] }), raw, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token, err := bearergate.Verify(t.Context(), tc.v, tc.token)
			require.Nil(t, token)
			require.Equal(t, []error{tc.kind}, kindsOf(err), "%v", err)
			require.Equal(t, tc.reason, bearergate.ReasonOf(err))
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), raw)
		})
	}

	t.Run("sentinels pass", func(t *testing.T) {
		for _, s := range sentinels {
			for _, sent := range []error{s, fmt.Errorf("wrapped: %w", s), errors.Join(boom, s), &bearergate.Error{Kind: s}} {
				token, err := bearergate.Verify(t.Context(), answer(good, sent), raw)
				require.Nil(t, token)
				if s == bearergate.ErrUnavailable { // no Reason: what was waited for is unknown
					require.Equal(t, bearergate.ReasonStoreUnavailable, bearergate.ReasonOf(err))
				} else {
					require.Equal(t, sent, err) // the very error: what it wraps stays reachable
				}
				require.Equal(t, []error{s}, kindsOf(err))
			}
		}
	})

	t.Run("the foreign error stays reachable", func(t *testing.T) {
		_, err := bearergate.Verify(t.Context(), answer(nil, fmt.Errorf("wrapped: %w", boom)), raw)
		require.ErrorIs(t, err, boom)
	})

	t.Run("VerifierFunc nil", func(t *testing.T) {
		token, err := bearergate.VerifierFunc(nil).Verify(t.Context(), raw)
		require.Nil(t, token)
		requireKind(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	})
}

// With this setting a panic(nil) recovers as nil, which must not read as success.
func TestVerifyPanicNil(t *testing.T) {
	t.Setenv("GODEBUG", "panicnil=1")
	token, err := bearergate.Verify(t.Context(), bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		panic(nil)
	}), "token")
	require.Nil(t, token)
	requireKind(t, err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
}

// A verifier that ends its goroutine ends the request too: no answer comes.
func TestVerifyGoexit(t *testing.T) {
	returned := make(chan bool, 1)
	go func() {
		defer close(returned)
		_, _ = bearergate.Verify(context.Background(), bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
			runtime.Goexit()
			return nil, nil
		}), "token")
		returned <- true
	}()
	require.False(t, <-returned)
}

func TestVerifyContextEnded(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancelLate()
	cause := errors.New("the client hung up")
	withCause, cancelCause := context.WithCancelCause(t.Context())
	cancelCause(cause)

	for _, tc := range []struct {
		name   string
		ctx    context.Context
		err    error
		kind   error
		reason bearergate.Reason
	}{
		{"canceled", canceled, context.Canceled, bearergate.ErrUnavailable, bearergate.ReasonCanceled},
		{"canceled, wrapped", canceled, fmt.Errorf("fetch: %w", context.Canceled), bearergate.ErrUnavailable, bearergate.ReasonCanceled},
		{"deadline", late, context.DeadlineExceeded, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable},
		{"its cause", withCause, fmt.Errorf("fetch: %w", context.Cause(withCause)), bearergate.ErrUnavailable, bearergate.ReasonCanceled},
		{"also a yes-man", canceled, yesMan{}, bearergate.ErrUnavailable, bearergate.ReasonCanceled},
		// The caller is still there: the verifier gave up by itself.
		{"another's context", t.Context(), context.Canceled, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable},
		{"no context error", canceled, errors.New("boom"), bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		// An error in our terms is believed.
		{"a sentinel", canceled, bearergate.ErrInvalidToken, bearergate.ErrInvalidToken, bearergate.ReasonPolicy},
		{"a sentinel beside it", canceled, errors.Join(bearergate.ErrInvalidToken, context.Canceled), bearergate.ErrInvalidToken, bearergate.ReasonPolicy},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token, err := bearergate.Verify(tc.ctx, bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
				return bearergate.NewToken(bearergate.Claims{}), tc.err
			}), "token")
			require.Nil(t, token)
			require.Equal(t, []error{tc.kind}, kindsOf(err))
			require.Equal(t, tc.reason, bearergate.ReasonOf(err))
			if tc.reason == bearergate.ReasonCanceled {
				require.ErrorIs(t, err, tc.ctx.Err())
			}
		})
	}
}
