package jwks_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

// req: R8414-02, R8414-03
func TestDiscovery(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s, discovered)
		require.Zero(t, s.count(""), "New touches no network")
		has(t, c, "k1")
		require.Equal(t, 1, s.count(rfcURL))
		require.Zero(t, s.count(oidcURL))
		require.Equal(t, 1, s.count(setURL))
		e := r.lastFetch(t)
		require.Equal(t, jwks.OutcomeOK, e.Outcome)
		require.Equal(t, jwks.TriggerFirst, e.Trigger)
		require.Equal(t, issuer, e.Issuer)
		require.Equal(t, setURL, e.URL)
		require.Equal(t, []string{"k1"}, e.Added)
		require.Equal(t, 1, e.KeyCount)
		require.Equal(t, setURL, c.Status().URL)

		// Within the hour, the document is not read again.
		require.NoError(t, c.Refresh(t.Context()))
		require.Equal(t, 1, s.count(rfcURL))
		time.Sleep(time.Hour)
		has(t, c, "k1")
		require.Equal(t, 2, s.count(rfcURL))
	})
}

func TestDiscoveryRemembersWhatWorked(t *testing.T) {
	within(t, func(t *testing.T) {
		for name, f := range map[string]fault{
			"404": always(404, "text/plain", ""), "login page": always(200, "text/html", "<html>"), "down": down, "hang": hang,
			"another issuer": always(200, "application/json", metadataOf("https://evil.example", setURL)),
			"garbage":        always(200, "application/json", "{"),
			"null":           always(200, "application/json", "null"),
		} {
			s := newServer(t, "k1")
			s.fail(rfcURL, f)
			c, _ := newCache(t, s, discovered)
			has(t, c, "k1")
			require.Equal(t, 1, s.count(rfcURL), name)
			require.Equal(t, 1, s.count(oidcURL), name)
			s.forget()
			time.Sleep(2 * time.Hour)
			has(t, c, "k1")
			require.Zero(t, s.count(rfcURL), name)
			require.Equal(t, 1, s.count(oidcURL), name)
			// and back again
			s.heal()
			s.fail(oidcURL, f)
			time.Sleep(2 * time.Hour)
			has(t, c, "k1")
		}
	})
}

// req: R8414-01, R8414-03, R8414-04, R8414-05, R8414-07, ISS-022, ISS-023
func TestDiscoveryRefuses(t *testing.T) {
	doc := func(issuer, uri string) fault { return always(200, "application/json", metadataOf(issuer, uri)) }
	for name, tc := range map[string]struct {
		fault   fault
		outcome jwks.Outcome
	}{
		"another issuer":          {doc("https://as.example.com/tenant2", setURL), jwks.OutcomeIssuer},
		"a trailing slash":        {doc(issuer+"/", setURL), jwks.OutcomeIssuer},
		"another case":            {doc("https://AS.example.com/tenant1", setURL), jwks.OutcomeIssuer},
		"no issuer":               {always(200, "application/json", `{"jwks_uri":"`+setURL+`"}`), jwks.OutcomeMalformed},
		"issuer is no string":     {always(200, "application/json", `{"issuer":["`+issuer+`"],"jwks_uri":"`+setURL+`"}`), jwks.OutcomeMalformed},
		"issuer twice":            {always(200, "application/json", `{"issuer":"`+issuer+`","issuer":"`+issuer+`","jwks_uri":"`+setURL+`"}`), jwks.OutcomeMalformed},
		"Issuer":                  {always(200, "application/json", `{"Issuer":"`+issuer+`","jwks_uri":"`+setURL+`"}`), jwks.OutcomeMalformed},
		"no jwks_uri":             {always(200, "application/json", `{"issuer":"`+issuer+`"}`), jwks.OutcomeJWKSURI},
		"jwks_uri null":           {always(200, "application/json", `{"issuer":"`+issuer+`","jwks_uri":null}`), jwks.OutcomeJWKSURI},
		"jwks_uri a number":       {always(200, "application/json", `{"issuer":"`+issuer+`","jwks_uri":17}`), jwks.OutcomeJWKSURI},
		"jwks_uri http":           {doc(issuer, "http://as.example.com/tenant1/keys"), jwks.OutcomeJWKSURI},
		"jwks_uri http, loopback": {doc(issuer, "http://127.0.0.1/keys"), jwks.OutcomeJWKSURI},
		"jwks_uri file":           {doc(issuer, "file:///etc/keys"), jwks.OutcomeJWKSURI},
		"jwks_uri relative":       {doc(issuer, "/tenant1/keys"), jwks.OutcomeJWKSURI},
		"jwks_uri user":           {doc(issuer, "https://u@as.example.com/tenant1/keys"), jwks.OutcomeJWKSURI},
		"jwks_uri fragment":       {doc(issuer, setURL+"#f"), jwks.OutcomeJWKSURI},
		"wrong content type":      {always(200, "text/html", metadataOf(issuer, setURL)), jwks.OutcomeContentType},
		"a script":                {always(200, "text/javascript", metadataOf(issuer, setURL)), jwks.OutcomeContentType},
		"XHTML":                   {always(200, "application/xhtml+xml", metadataOf(issuer, setURL)), jwks.OutcomeContentType},
		"no content type":         {always(200, "", metadataOf(issuer, setURL)), jwks.OutcomeContentType},
		"status 500 and a body":   {always(500, "application/json", metadataOf(issuer, setURL)), jwks.OutcomeStatus},
		"status 404":              {always(404, "application/json", "{}"), jwks.OutcomeStatus},
		"byte order mark":         {always(200, "application/json", "\ufeff"+metadataOf(issuer, setURL)), jwks.OutcomeMalformed},
		"an array":                {always(200, "application/json", "["+metadataOf(issuer, setURL)+"]"), jwks.OutcomeMalformed},
		"too large":               {always(200, "application/json", strings.Repeat(" ", 512<<10)+metadataOf(issuer, setURL)), jwks.OutcomeTooLarge},
		"unreachable":             {down, jwks.OutcomeConnect},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				s.fail(rfcURL, tc.fault)
				s.fail(oidcURL, tc.fault)
				c, r := newCache(t, s, discovered)
				unavailable(t, c, "k1")
				require.Equal(t, tc.outcome, r.lastFetch(t).Outcome)
				require.Contains(t, []string{rfcURL, oidcURL}, r.lastFetch(t).URL, "the URL of what failed")
				require.Equal(t, 1, s.count(rfcURL))
				require.Equal(t, 1, s.count(oidcURL))
				require.Zero(t, s.count(setURL), "a document that is refused is not used")
				s.heal()
				time.Sleep(2 * time.Second)
				has(t, c, "k1")
			})
		})
	}
}

// What real servers say of their documents, and write into them, keeps nobody from the keys.
func TestDiscoveryAccepts(t *testing.T) {
	plain := metadataOf(issuer, setURL)
	with := func(member string) string { return strings.TrimSuffix(plain, "}") + "," + member + "}" }
	for _, tt := range []struct{ name, contentType, doc string }{
		{name: "application/json", contentType: "application/json", doc: plain},
		{name: "with a parameter, in capitals", contentType: "Application/JSON; charset=UTF-8", doc: plain},
		{name: "another JSON type", contentType: "application/vnd.as+json", doc: plain},
		{name: "text/plain", contentType: "text/plain; charset=utf-8", doc: plain},
		{name: "application/octet-stream", contentType: "application/octet-stream", doc: plain},
		{name: "binary/octet-stream", contentType: "binary/octet-stream", doc: plain},
		{name: "introspection_endpoint null", contentType: "application/json", doc: with(`"introspection_endpoint":null`)},
		{name: "introspection_endpoint false", contentType: "application/json", doc: with(`"introspection_endpoint":false`)},
		{name: "introspection_endpoint no URL", contentType: "application/json", doc: with(`"introspection_endpoint":"none"`)},
		{name: "everything else null", contentType: "application/json", doc: with(`"token_endpoint":null,"scopes_supported":null,"x":{"y":null}`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				s.fail(rfcURL, always(200, tt.contentType, tt.doc))
				c, _ := newCache(t, s, discovered)
				has(t, c, "k1")
				require.Equal(t, 1, s.count(rfcURL))
				require.Zero(t, s.count(oidcURL))
				require.Equal(t, 1, s.count(setURL))
			})
		})
	}
}

// req: R8414-05 (NFC and NFD of one word are two issuers)
func TestDiscoveryComparesCodePoints(t *testing.T) {
	within(t, func(t *testing.T) {
		nfc, nfd := "https://as.example.com/caf\u00e9", "https://as.example.com/cafe\u0301"
		for _, tc := range []struct {
			in   string
			want bool
		}{{nfc, true}, {nfd, false}} {
			s := newServer(t, "k1")
			s.fail("", func(r *http.Request) (*http.Response, error) {
				if r.URL.String() == setURL {
					return nil, nil
				}
				return answer(200, "application/json", metadataOf(tc.in, setURL)), nil
			})
			c, _ := newCache(t, s, func(c *jwks.Config) { c.URL, c.Issuer = "", nfc })
			if tc.want {
				has(t, c, "k1")
			} else {
				unavailable(t, c, "k1")
			}
		}
	})
}

// req: R8414-07 (https on any host; http only from loopback to loopback)
func TestJWKSURIHosts(t *testing.T) {
	within(t, func(t *testing.T) {
		for _, tc := range []struct {
			issuer, uri string
			insecure    bool
			ok          bool
		}{
			{"https://as.example.com", "https://cdn.example.net/keys", false, true},
			{"https://as.example.com", "http://as.example.com/keys", false, false},
			{"https://as.example.com", "http://localhost/keys", false, false},
			{"https://as.example.com", "http://as.example.com/keys", true, true},
			{"http://localhost:8080", "http://127.0.0.1:8081/keys", false, true},
			{"http://localhost:8080", "http://as.example.com/keys", false, false},
			{"https://localhost:8080", "http://localhost:8080/keys", false, false},
		} {
			s := newServer(t, "k1")
			s.fail("", func(r *http.Request) (*http.Response, error) {
				if strings.HasSuffix(r.URL.Path, "/keys") {
					return answer(200, "application/json", string(set(s.keys["k1"]))), nil
				}
				return answer(200, "application/json; charset=utf-8", metadataOf(tc.issuer, tc.uri)), nil
			})
			c, r := newCache(t, s, func(c *jwks.Config) { c.URL, c.Issuer, c.InsecureAllowHTTP = "", tc.issuer, tc.insecure })
			if tc.ok {
				has(t, c, "k1")
			} else {
				unavailable(t, c, "k1")
				require.Equal(t, jwks.OutcomeJWKSURI, r.lastFetch(t).Outcome)
			}
		}
	})
}

func TestSetMoves(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.header.Set("ETag", `"v1"`)
		c, r := newCache(t, s, discovered)
		has(t, c, "k1")
		s.rotate(t, "k2")
		const moved = "https://keys.example.net/new"
		s.fail(setURL, always(404, "text/plain", ""))
		s.fail(rfcURL, always(200, "application/json", metadataOf(issuer, moved)))
		s.fail(moved, always(200, "application/json", string(set(s.keys["k2"]))))
		time.Sleep(time.Minute)
		has(t, c, "k2") // at its first token
		require.Empty(t, s.last.Header.Get("If-None-Match"), "a tag belongs to its URL")
		require.Equal(t, moved, r.lastFetch(t).URL)
		require.Equal(t, []string{"k2"}, r.lastFetch(t).Added)
		require.Equal(t, []string{"k1"}, r.lastFetch(t).Removed)
		require.Equal(t, moved, c.Status().URL)
		require.Equal(t, 2, s.count(rfcURL))
		require.NoError(t, c.Refresh(t.Context()))
		require.Equal(t, 2, s.count(rfcURL), "the new document is as good as the old one was")
	})
}

// A set that fails has the metadata read once more, since it may have moved. Where they name
// the same one, it is not asked a second time; and as long as it fails, each attempt begins
// with the metadata, so that one that has moved is found under its new URL alone.
func TestSetThatFailsAndMovesLater(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s, discovered)
		has(t, c, "k1")
		s.forget()
		s.fail(setURL, down)
		require.Error(t, c.Refresh(t.Context()))
		require.Equal(t, 1, s.count(setURL))
		require.Equal(t, 1, s.count(rfcURL))

		s.forget()
		const moved = "https://keys.example.net/new"
		s.rotate(t, "k2")
		s.fail(rfcURL, always(200, "application/json", metadataOf(issuer, moved)))
		s.fail(moved, always(200, "application/json", string(set(s.keys["k2"]))))
		time.Sleep(time.Minute)
		require.NoError(t, c.Refresh(t.Context()))
		has(t, c, "k2")
		require.Equal(t, 1, s.count(rfcURL))
		require.Equal(t, 1, s.count(moved))
		require.Equal(t, 2, s.count(""))
	})
}

// Metadata that was read for this very fetch is not read again when the set fails.
func TestSetFailsAfterDiscovery(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.fail(setURL, down)
		c, _ := newCache(t, s, discovered)
		unavailable(t, c, "k1")
		require.Equal(t, 1, s.count(rfcURL))
		require.Equal(t, 1, s.count(setURL))

		// It is doubted from then on, until the set comes.
		s.heal()
		s.fail(rfcURL, down)
		s.fail(oidcURL, down)
		time.Sleep(time.Second)
		s.forget()
		has(t, c, "k1")
		require.Equal(t, 1, s.count(rfcURL))
		require.NoError(t, c.Refresh(t.Context()))
		require.Equal(t, 1, s.count(rfcURL))
	})
}

// The metadata that a server has for all its tenants name a template as their issuer:
// whoever wants those keys says so, letter for letter.
func TestMetadataOfAllTenants(t *testing.T) {
	const template, where = "https://as.example.com/{tenantid}/v2.0", "https://as.example.com/common/metadata"
	for _, tt := range []struct {
		name, issuer string
		fails        bool
	}{
		{name: "the template", issuer: template},
		{name: "one tenant", issuer: "https://as.example.com/tenant1/v2.0", fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				s.fail(where, always(200, "application/json", metadataOf(template, setURL)))
				c, _ := newCache(t, s, func(c *jwks.Config) { c.Issuer, c.URL, c.MetadataURL = tt.issuer, "", where })
				if tt.fails {
					unavailable(t, c, "k1")
					return
				}
				has(t, c, "k1")
				require.Equal(t, template, c.Issuer())
			})
		})
	}
}

// The metadata may be out of order for a while, like the set, but not for ever.
func TestMetadataOutage(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s, discovered)
		has(t, c, "k1")
		s.fail(rfcURL, always(200, "application/json", metadataOf("https://evil.example", "https://evil.example/keys")))
		s.fail(oidcURL, down)
		for range 11 {
			time.Sleep(10 * time.Minute)
			has(t, c, "k1")
			require.NotEqual(t, jwks.StateStale, c.Status().State)
		}
		time.Sleep(25 * time.Minute)
		has(t, c, "k1")
		require.Equal(t, jwks.StateStale, c.Status().State, "the document is older than 1 h + MaxStale")
		time.Sleep(time.Hour)
		unavailable(t, c, "k1")
	})
}

// What is wrong with the documents says what to change.
func TestDiscoverySays(t *testing.T) {
	const beside = "; " + rfcURL + ": the same"
	doc := func(issuer, uri string) fault { return always(200, "application/json", metadataOf(issuer, uri)) }
	for name, tc := range map[string]struct {
		fault, set fault // of the metadata and of the set; nil: none
		says       string
	}{
		"404":              {always(404, "", ""), nil, oidcURL + ": status: status 404: nothing is there: check the URL" + beside + "; both are made from Issuer, so check that first"},
		"a login page":     {always(200, "text/html", "<html>"), nil, oidcURL + ": content_type: a content type that is not accepted here: text/html, a page for people: check the URL, and that no login stands in front of it" + beside},
		"401":              {always(401, "", ""), nil, "status 401: the server wants credentials: check the URL, or have the transport of HTTPClient send them" + beside},
		"a proxy":          {always(407, "", ""), nil, "status 407: a proxy wants credentials: give them in the transport of HTTPClient" + beside},
		"502":              {always(502, "", ""), nil, "status 502: the server, or a proxy in front of it, is out of order: see their logs" + beside},
		"a trailing slash": {doc(issuer+"/", setURL), nil, `the document is of the issuer "` + issuer + `/", and "` + issuer + `" is configured: the two differ only by a slash at the end: add it to Issuer` + beside},
		"another case":     {doc("https://AS.example.com/tenant1", setURL), nil, "the two differ only by upper and lower case: write every letter of Issuer as the authorization server does" + beside},
		"no jwks_uri":      {always(200, "application/json", `{"issuer":"`+issuer+`"}`), nil, "jwks_uri: the document has no jwks_uri: name the key set by URL of jwks.Config, if the server has one" + beside},
		"jwks_uri http":    {doc(issuer, "http://as.example.com/keys"), nil, "jwks_uri: the document's jwks_uri must be https"},
		"a set as a page":  {nil, always(200, "Text/HTML; charset=utf-8", "<html>"), setURL + ": content_type: a content type that is not accepted here: text/html, a page for people: check the URL, and that no login stands in front of it"},
		"a proxy's 502":    {nil, always(502, "text/html", "<html>"), setURL + ": status: status 502: the server, or a proxy in front of it, is out of order: see their logs"},
		"no such set":      {nil, always(404, "", ""), setURL + ": status: status 404: nothing is there: check the URL"},
		"no set":           {nil, always(200, "application/json", "{}"), setURL + ": malformed: jose: the key set has no member keys: check that this is the URL or path of a JWK Set"},
		"no key to verify": {nil, always(200, "application/json", `{"keys":[{"use":"enc"},{}]}`), setURL + ": no_usable_key: jose: the key set has no usable key: Hooks.KeySkipped says why, key by key; have the issuer publish one to verify signatures"},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				if tc.fault != nil {
					s.fail(rfcURL, tc.fault)
					s.fail(oidcURL, tc.fault)
				}
				if tc.set != nil {
					s.fail(setURL, tc.set)
				}
				c, r := newCache(t, s, discovered)
				require.ErrorContains(t, c.Refresh(t.Context()), tc.says)
				require.Contains(t, c.Status().LastError.Error(), r.lastFetch(t).Detail, "the hook is told as well")
				require.NotEmpty(t, r.lastFetch(t).Detail)
			})
		})
	}
}
