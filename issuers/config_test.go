package issuers_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

func TestNewRouterNamesEveryMistake(t *testing.T) {
	good := newVerifier(t, config(newSigner(t, "ES256", "k").Set(t)))
	opaque := &recorder{}
	resolve := func(context.Context, string) (bearergate.Verifier, error) { return nil, nil }
	for _, tt := range []struct {
		name   string
		change func(*issuers.Config)
		says   []string
	}{
		{"nothing set", func(c *issuers.Config) { *c = issuers.Config{} }, []string{"no verifier"}},
		{"an empty map", func(c *issuers.Config) {
			*c = issuers.Config{Issuers: map[string]bearergate.Verifier{}}
		}, []string{"no verifier"}},
		{"an empty key", func(c *issuers.Config) { c.Issuers[""] = &recorder{} }, []string{"empty key"}},
		{"a key that is the URL of metadata", func(c *issuers.Config) {
			c.Issuers["https://n.example/.well-known/openid-configuration"] = &recorder{}
		}, []string{"the key is the URL of a metadata document: cut it off before /.well-known/openid-configuration"}},
		{"a key with a space", func(c *issuers.Config) { c.Issuers["https://n.example "] = &recorder{} }, []string{`Issuers["https://n.example "]: the key has white space around it: remove it`}},
		{"a key with a wildcard", func(c *issuers.Config) { c.Issuers["https://*.n.example"] = &recorder{} }, []string{`Issuers["https://*.n.example"]: the key is compared as it stands`, "set Resolve and ResolveIssuers"}},
		{"a key with a placeholder", func(c *issuers.Config) { c.Issuers["https://n.example/{tenant}"] = &recorder{} }, []string{`Issuers["https://n.example/{tenant}"]: the key is compared as it stands`}},
		{"a nil verifier", func(c *issuers.Config) { c.Issuers["https://n.example"] = nil }, []string{`Issuers["https://n.example"]: the verifier is nil: give the result of jwtverify.New, for example`}},
		{"a typed nil verifier", func(c *issuers.Config) { c.Issuers["https://n.example"] = (*jwtverify.Verifier)(nil) }, []string{"nil *jwtverify.Verifier"}},
		{"a nil function", func(c *issuers.Config) { c.Issuers["https://n.example"] = bearergate.VerifierFunc(nil) }, []string{"nil bearergate.VerifierFunc"}},
		{"a zero verifier", func(c *issuers.Config) { c.Issuers["https://n.example"] = new(jwtverify.Verifier) }, []string{`for the issuer "https://n.example"`, "make it with its constructor"}},
		{"another issuer's verifier", func(c *issuers.Config) { c.Issuers[issuerB] = good }, []string{issuerB, issuer}},
		{"another issuer's verifier of another kind", func(c *issuers.Config) { c.Issuers[issuerB] = named{&recorder{}, issuer} }, []string{issuerB, issuer}},
		{"one that panics when asked its name", func(c *issuers.Config) { c.Issuers[issuerB] = unnameable{} }, []string{"its method Issuer panicked", "mend it, or give a verifier without it"}},
		{"the wrong slash", func(c *issuers.Config) { c.Issuers[strings.TrimSuffix(issuer, "/")] = good }, []string{"the verifier is for the issuer \"" + issuer + "\": make it for the very one that it stands under, letter for letter"}},
		{"typed nil opaque", func(c *issuers.Config) { c.Opaque = (*recorder)(nil) }, []string{"Opaque is a nil *issuers_test.recorder"}},
		{"encrypted tokens for nobody", func(c *issuers.Config) { c.Opaque, c.EncryptedAreOpaque = nil, true }, []string{"EncryptedAreOpaque is for Opaque, which is nil"}},
		{"token bytes", func(c *issuers.Config) { c.MaxTokenBytes = -1 }, []string{"MaxTokenBytes is -1"}},
		{"too many token bytes", func(c *issuers.Config) { c.MaxTokenBytes = issuers.MaxTokenBytesLimit + 1 }, []string{"MaxTokenBytes"}},
		{"resolve without a gate", func(c *issuers.Config) { c.ResolveIssuers = nil }, []string{"ResolveIssuers has 0 entries"}},
		{"a gate without resolve", func(c *issuers.Config) { c.Resolve = nil }, []string{"Resolve, which is nil"}},
		{"AllowIssuer without resolve", func(c *issuers.Config) {
			c.Resolve, c.ResolveIssuers, c.AllowIssuer = nil, nil, func(string) bool { return true }
		}, []string{"AllowIssuer", "Resolve, which is nil"}},
		{"a knob without resolve", func(c *issuers.Config) { c.Resolve, c.ResolveIssuers, c.MaxResolved = nil, nil, 1 }, []string{"Resolve, which is nil"}},
		{"a ttl without resolve", func(c *issuers.Config) {
			c.Resolve, c.ResolveIssuers, c.ResolvedTTL = nil, nil, time.Hour
		}, []string{"Resolve, which is nil"}},
		{"a timeout without resolve", func(c *issuers.Config) {
			c.Resolve, c.ResolveIssuers, c.ResolveTimeout = nil, nil, time.Second
		}, []string{"Resolve, which is nil"}},
		{"a rate without resolve", func(c *issuers.Config) {
			c.Resolve, c.ResolveIssuers, c.MaxResolvesPerMinute = nil, nil, 1
		}, []string{"Resolve, which is nil"}},
		{"a million issuers and one", func(c *issuers.Config) {
			c.ResolveIssuers = slices.Repeat([]string{issuerB}, 1<<20+1)
		}, []string{"ResolveIssuers has 1048577 entries"}},
		{"an empty entry", func(c *issuers.Config) { c.ResolveIssuers = []string{""} }, []string{"empty string"}},
		{"the URL of metadata to resolve", func(c *issuers.Config) {
			c.ResolveIssuers = []string{"https://n.example/.well-known/openid-configuration"}
		}, []string{"is the URL of a metadata document: cut it off"}},
		{"the URL of metadata in a template", func(c *issuers.Config) {
			c.ResolveIssuers = []string{"https://n.example/{t}/.well-known/openid-configuration"}
		}, []string{"is the URL of a metadata document: cut it off"}},
		{"in both", func(c *issuers.Config) { c.ResolveIssuers = []string{issuer} }, []string{"choose one"}},
		{"a tenant for a host", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://{tenant}/"} }, []string{"before its path"}},
		{"a tenant in the host", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://{tenant}.example.com/x"} }, []string{"before its path"}},
		{"a tenant for a scheme", func(c *issuers.Config) { c.ResolveIssuers = []string{"{scheme}//as.example.com/x"} }, []string{"before its path"}},
		{"no scheme", func(c *issuers.Config) { c.ResolveIssuers = []string{"as.example.com/a/b/{tenant}"} }, []string{"absolute https URL"}},
		{"another scheme", func(c *issuers.Config) { c.ResolveIssuers = []string{"ftp://as.example.com/{tenant}"} }, []string{"https"}},
		{"no host", func(c *issuers.Config) { c.ResolveIssuers = []string{"https:///{tenant}"} }, []string{"host"}},
		{"userinfo", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://a@b.example/{tenant}"} }, []string{"user information"}},
		{"in the query", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/x?y=/{tenant}"} }, []string{"query"}},
		{"in the fragment", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/x#/{tenant}"} }, []string{"fragment"}},
		{"a wildcard", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://*.example.com"} }, []string{`ResolveIssuers: "https://*.example.com" has a * in it: it is compared as it stands`}},
		{"a wildcard in a template", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/*/{tenant}"} }, []string{`ResolveIssuers: "https://as.example.com/*/{tenant}" has a * in it`}},
		{"a template among Issuers", func(c *issuers.Config) { c.Issuers["https://as.example.com/{tenant}"] = good }, []string{"no token has such an iss: for many issuers of one form, set Resolve and ResolveIssuers"}},
		{"half a segment", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/t-{tenant}"} }, []string{"whole path segment"}},
		{"not opened", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/tenant}"} }, []string{"whole path segment"}},
		{"no name", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/{}"} }, []string{"whole path segment"}},
		{"not closed", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/{tenant"} }, []string{"whole path segment"}},
		{"nested", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/{{tenant}}"} }, []string{"whole path segment"}},
		{"twice", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/{t}/{t}"} }, []string{"has two placeholders of one name: give each its own"}},
		{"resolved", func(c *issuers.Config) { c.MaxResolved = -1 }, []string{"MaxResolved is -1"}},
		{"too many resolved", func(c *issuers.Config) { c.MaxResolved = issuers.MaxResolvedLimit + 1 }, []string{"MaxResolved"}},
		{"ttl", func(c *issuers.Config) { c.ResolvedTTL = -1 }, []string{"ResolvedTTL"}},
		{"too long a ttl", func(c *issuers.Config) { c.ResolvedTTL = 25 * time.Hour }, []string{"ResolvedTTL"}},
		{"timeout", func(c *issuers.Config) { c.ResolveTimeout = 1 }, []string{"ResolveTimeout is 1ns (a number without a unit counts nanoseconds: write 1*time.Second, for example): choose between 1ms and 1m0s"}},
		{"too long a timeout", func(c *issuers.Config) { c.ResolveTimeout = time.Hour }, []string{"ResolveTimeout"}},
		{"rate", func(c *issuers.Config) { c.MaxResolvesPerMinute = -1 }, []string{"MaxResolvesPerMinute"}},
		{"too high a rate", func(c *issuers.Config) { c.MaxResolvesPerMinute = 60_001 }, []string{"MaxResolvesPerMinute"}},
		{"four at once", func(c *issuers.Config) {
			c.Issuers[""], c.Opaque, c.MaxTokenBytes, c.ResolveIssuers = nil, bearergate.VerifierFunc(nil), -1, nil
		}, []string{"empty key", "Opaque", "MaxTokenBytes", "ResolveIssuers"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := issuers.Config{
				Issuers: map[string]bearergate.Verifier{issuer: good}, Opaque: opaque,
				Resolve: resolve, ResolveIssuers: []string{"https://login.example.com/{tenant}/v2.0"},
			}
			tt.change(&c)
			r, err := issuers.NewRouter(c)
			require.Nil(t, r)
			requireError(t, nil, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, text := range tt.says {
				require.ErrorContains(t, err, text)
			}
		})
	}
	require.Zero(t, opaque.asked())
}

type named struct {
	bearergate.Verifier
	issuer string
}

func (n named) Issuer() string { return n.issuer }

type unnameable struct{ bearergate.Verifier }

func (unnameable) Verify(context.Context, string) (*bearergate.Token, error) { return nil, nil }
func (unnameable) Issuer() string                                            { panic("no name") }

type nameless struct{}

func (*nameless) Verify(context.Context, string) (*bearergate.Token, error) { return nil, nil }
func (*nameless) Issuer() string                                            { return "" }

// fixed tells its issuer whatever stands in its fields.
type fixed struct{ answers int }

func (f *fixed) Verify(context.Context, string) (*bearergate.Token, error) {
	f.answers++
	return nil, nil
}

func (*fixed) Issuer() string { return issuer }

func TestNewRouterAccepts(t *testing.T) {
	resolve := func(context.Context, string) (bearergate.Verifier, error) { return nil, nil }
	for name, c := range map[string]issuers.Config{
		"issuers only":             {Issuers: map[string]bearergate.Verifier{issuer: &recorder{}}},
		"opaque only":              {Opaque: &recorder{}},
		"resolve only":             {Resolve: resolve, ResolveIssuers: []string{"https://a.example/{t}"}},
		"AllowIssuer alone":        {Resolve: resolve, AllowIssuer: func(string) bool { return true }},
		"AllowIssuer beside":       {Resolve: resolve, ResolveIssuers: []string{"https://a.example/{t}"}, AllowIssuer: func(string) bool { return true }},
		"an exact list":            {Resolve: resolve, ResolveIssuers: []string{"https://a.example/t1", "accounts.example.com"}},
		"http on loopback":         {Resolve: resolve, ResolveIssuers: []string{"http://localhost:8080/realms/{realm}"}},
		"two placeholders":         {Resolve: resolve, ResolveIssuers: []string{"https://a.example/{region}/x/{t}/"}},
		"named":                    {Issuers: map[string]bearergate.Verifier{issuer: named{&recorder{}, issuer}}},
		"named, with zero fields":  {Issuers: map[string]bearergate.Verifier{issuer: &fixed{}}},
		"of no name":               {Issuers: map[string]bearergate.Verifier{issuer: named{&recorder{}, ""}}},
		"of no name and no fields": {Issuers: map[string]bearergate.Verifier{issuer: &nameless{}}},
		"a million issuers":        {Resolve: resolve, ResolveIssuers: slices.Repeat([]string{issuerB}, 1<<20)},
		"tildes":                   {Resolve: resolve, ResolveIssuers: []string{"https://a.example/~x/{t~}"}},
		"other bounds": {Resolve: resolve, ResolveIssuers: []string{"https://a.example/{t}"}, MaxResolved: issuers.MaxResolvedLimit, ResolvedTTL: time.Second,
			ResolveTimeout: time.Millisecond, MaxResolvesPerMinute: 1, MaxTokenBytes: 1},
		"all bounds": {Resolve: resolve, ResolveIssuers: []string{"https://a.example/{t}"}, MaxResolved: 1, ResolvedTTL: 24 * time.Hour,
			ResolveTimeout: time.Minute, MaxResolvesPerMinute: 60_000, MaxTokenBytes: issuers.MaxTokenBytesLimit},
	} {
		t.Run(name, func(t *testing.T) { newRouter(t, c) })
	}
}

func TestRouterDefaults(t *testing.T) {
	require.Equal(t, 16<<10, issuers.DefaultMaxTokenBytes)
	require.Equal(t, 1<<20, issuers.MaxTokenBytesLimit)
	require.Equal(t, 1024, issuers.DefaultMaxResolved)
	require.Equal(t, 1<<20, issuers.MaxResolvedLimit)
	require.Equal(t, time.Hour, issuers.DefaultResolvedTTL)
	require.Equal(t, 5*time.Second, issuers.DefaultResolveTimeout)
	require.Equal(t, 600, issuers.DefaultMaxResolvesPerMinute)
	require.Equal(t, 10*time.Second, issuers.UnresolvedTTL)
	require.Equal(t, 64, issuers.MaxResolving)

	a, opaque := &recorder{issuer: issuer}, &recorder{}
	r := newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: a}, Opaque: opaque})
	long := unsigned(issuer)
	long += strings.Repeat("A", issuers.DefaultMaxTokenBytes-len(long))
	long = long[:len(long)-len(long)%4] // of a length that base64url has
	_, err := r.Verify(t.Context(), long)
	require.NoError(t, err)
	_, err = r.Verify(t.Context(), strings.Repeat("x", issuers.DefaultMaxTokenBytes))
	require.NoError(t, err)
	for _, tooLong := range []string{long + "AAAA", strings.Repeat("x", issuers.DefaultMaxTokenBytes+1)} {
		token, err := r.Verify(t.Context(), tooLong)
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonTooLarge)
	}
	require.Equal(t, 1, a.asked())
	require.Equal(t, 1, opaque.asked())

	r = newRouter(t, issuers.Config{Opaque: opaque, MaxTokenBytes: 8})
	_, err = r.Verify(t.Context(), "12345678")
	require.NoError(t, err)
	token, err := r.Verify(t.Context(), "123456789")
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonTooLarge)
}

func TestRouterCopiesItsConfiguration(t *testing.T) {
	a := &recorder{issuer: issuer}
	c := issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: a}, ResolveIssuers: []string{"https://a.example/{t}"},
		Resolve: func(context.Context, string) (bearergate.Verifier, error) { return &recorder{}, nil }}
	r := newRouter(t, c)
	delete(c.Issuers, issuer)
	c.Issuers[issuerB] = &recorder{issuer: issuerB}
	c.ResolveIssuers[0] = "https://b.example/{t}"
	_, err := r.Verify(t.Context(), unsigned(issuer))
	require.NoError(t, err)
	for _, iss := range []string{issuerB, "https://b.example/x"} {
		token, err := r.Verify(t.Context(), unsigned(iss))
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonIssuer)
	}
}
