package jwks_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

// The query of a key set's URL may hold an API key: it is sent, and stands nowhere else.
func TestQueryIsNotTold(t *testing.T) {
	const query = "?apikey=s3cret&v=1"
	for _, tt := range []struct {
		name   string
		change func(*jwks.Config)
		answer fault // of the set; nil: the set
	}{
		{name: "URL", change: func(c *jwks.Config) { c.URL += query }},
		{name: "jwks_uri", change: discovered},
		{name: "404", change: func(c *jwks.Config) { c.URL += query }, answer: always(404, "", "")},
		{name: "jwks_uri, 404", change: discovered, answer: always(404, "", "")},
		{name: "a redirect", change: func(c *jwks.Config) { c.URL += query }, answer: func(*http.Request) (*http.Response, error) {
			resp := answer(302, "", "")
			resp.Header.Set("Location", "https://elsewhere.example/keys"+query)
			return resp, nil
		}},
		{name: "a redirect within the origin, then an error", change: func(c *jwks.Config) { c.URL += query }, answer: func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/moved") {
				return nil, errDown
			}
			resp := answer(302, "", "")
			resp.Header.Set("Location", setURL+"/moved"+query)
			return resp, nil
		}},
		{name: "HTML", change: func(c *jwks.Config) { c.URL += query }, answer: always(200, "text/html", "<html>")},
		{name: "no set", change: func(c *jwks.Config) { c.URL += query }, answer: always(200, "application/json", "{}")},
		{name: "no usable key", change: func(c *jwks.Config) { c.URL += query }, answer: always(200, "application/json", `{"keys":[{"kty":"oct"}]}`)},
		{name: "down", change: func(c *jwks.Config) { c.URL += query }, answer: down},
		{name: "hang", change: func(c *jwks.Config) { c.URL += query }, answer: hang},
		{name: "a transport that panics", change: func(c *jwks.Config) { c.URL += query }, answer: func(*http.Request) (*http.Response, error) { panic("x") }},
		{name: "a transport that does not end", change: func(c *jwks.Config) { c.URL += query }, answer: func(*http.Request) (*http.Response, error) {
			time.Sleep(20 * time.Second)
			return nil, errDown
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				s.fail(rfcURL, always(200, "application/json", metadataOf(issuer, setURL+query)))
				jwk := newJWK(t, "k1", "ES256")
				s.fail(setURL+query, always(200, "application/json", string(set(jwk, []byte(`{"kty":"oct"}`)))))
				c, r := newCache(t, s, tt.change)
				has(t, c, "k1")
				require.Equal(t, 1, s.count(setURL+query), "it is sent")
				if tt.answer != nil {
					s.fail(setURL+query, tt.answer)
					s.fail(setURL+"/moved"+query, tt.answer)
				}
				time.Sleep(12 * time.Minute)
				for range 3 { // one fails, one is stale, one is unknown
					has(t, c, "k1")
					_, err := c.Keys(t.Context(), "x", "ES256")
					silent(t, err)
				}
				synctest.Wait()
				require.GreaterOrEqual(t, s.count(setURL+query), 2)

				r.mu.Lock()
				defer r.mu.Unlock()
				for _, e := range r.fetched {
					silent(t, e)
					silent(t, e.Err)
					silent(t, e.Detail)
				}
				for _, e := range r.states {
					silent(t, e.Err)
				}
				for _, e := range r.stale {
					silent(t, e.Err)
				}
				silent(t, r.fetched, r.states, r.skipped, r.suppressed, r.stale, r.waited)
				require.NotEmpty(t, r.skipped)
				require.Equal(t, setURL, r.fetched[0].URL)
				require.Equal(t, setURL, r.skipped[0].URL)
				require.Equal(t, setURL, c.Status().URL)
				silent(t, c.Status())
				silent(t, c.Status().LastError)
				data, err := c.Export()
				require.NoError(t, err)
				silent(t, string(data))
				time.Sleep(30 * time.Second)
			})
		})
	}
}

// silent fails if a value, printed in any way, has the query in it.
func silent(t *testing.T, values ...any) {
	t.Helper()
	for _, v := range values {
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		text := fmt.Sprintf("%v %+v %#v %s %q", v, v, v, v, v) + log.String()
		if err, ok := v.(error); ok {
			for ; err != nil; err = errors.Unwrap(err) {
				text += fmt.Sprintf("%v %+v %#v", err, err, err)
			}
		}
		require.NotContains(t, text, "s3cret")
		require.NotContains(t, text, "apikey")
	}
}

// Keys that differ in nothing but the query of their URL belong to two sets: to two
// tenants, for example.
func TestImportOfAnotherQuery(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		of := func(query string) *jwks.Cache {
			s.fail(setURL+query, always(200, "application/json", string(set(s.keys["k1"]))))
			c, _ := newCache(t, s, func(c *jwks.Config) { c.URL += query })
			return c
		}
		first := of("?tenant=a")
		has(t, first, "k1")
		data, err := first.Export()
		require.NoError(t, err)
		require.NoError(t, of("?tenant=a").Import(data))
		for _, query := range []string{"?tenant=b", "?", ""} {
			requireError(t, of(query).Import(data), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		}
	})
}

// A key in which a member stands twice is reported, the others serve, and what is held
// can be exported.
func TestMemberTwice(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		twice := strings.Replace(string(newJWK(t, "k2", "ES256")), `"kid"`, `"use":"sig","use":"enc","kid"`, 1)
		s.fail(setURL, always(200, "application/json", string(set([]byte(twice), s.keys["k1"]))))
		c, r := newCache(t, s)
		has(t, c, "k1")
		hasNot(t, c, "k2")
		require.Len(t, r.skipped, 2, "once for each fetch")
		require.Equal(t, 0, r.skipped[0].Index)
		require.Error(t, r.skipped[0].Err)
		require.Equal(t, 1, r.lastFetch(t).KeyCount)

		data, err := c.Export()
		require.NoError(t, err)
		require.True(t, json.Valid(data))
		again, _ := newCache(t, s)
		require.NoError(t, again.Import(data))
		s.forget()
		has(t, again, "k1")
		require.Zero(t, s.count(""))

		_, err = jwks.Static(set([]byte(twice), s.keys["k1"]))
		require.NoError(t, err)
		_, err = jwks.Static(set([]byte(twice)))
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	})
}

func TestAllowUses(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t)
		use := func(kid, use string) []byte {
			return []byte(strings.Replace(string(newJWK(t, kid, "ES256")), `"kid"`, `"use":"`+use+`","kid"`, 1))
		}
		doc := set(use("svid", "jwt-svid"), use("x509", "x509-svid"), use("enc", "enc"), use("sig", "sig"))
		s.fail(setURL, always(200, "application/json", string(doc)))
		uses := []string{"jwt-svid"}
		c, r := newCache(t, s, func(c *jwks.Config) { c.AllowUses = uses })
		uses[0] = "x509-svid" // the Cache has its own copy
		has(t, c, "svid")
		has(t, c, "sig")
		hasNot(t, c, "x509")
		hasNot(t, c, "enc")
		require.Equal(t, 2, r.lastFetch(t).KeyCount)

		// An exported set is judged anew by whoever imports it.
		data, err := c.Export()
		require.NoError(t, err)
		again, _ := newCache(t, s, func(c *jwks.Config) { c.AllowUses = []string{"jwt-svid"} })
		require.NoError(t, again.Import(data))
		has(t, again, "svid")
		strict, _ := newCache(t, s)
		require.NoError(t, strict.Import(data))
		hasNot(t, strict, "svid")
		has(t, strict, "sig")

		// Static admits nothing but sig.
		fixed, err := jwks.Static(doc)
		require.NoError(t, err)
		hasNot(t, fixed, "svid")
		has(t, fixed, "sig")
	})
}
