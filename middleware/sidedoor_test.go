package middleware_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// policies are what the routes of a table may demand, the weakest first.
var policies = []string{"public", "read", "admin"}

// table are routes: what each pattern demands.
type table map[string]string

func (routes table) router(t testing.TB) *middleware.Router {
	rt := newGate(t, granting(), middleware.Config{}).NewRouter()
	for _, pattern := range slices.Sorted(maps.Keys(routes)) {
		if routes[pattern] == "public" {
			rt.Public(pattern, says(""))
		} else {
			rt.Handle(pattern, scope.All(routes[pattern]), says(""))
		}
	}
	return rt
}

type marker string

func (marker) ServeHTTP(http.ResponseWriter, *http.Request) {}

// mux is what net/http makes of the patterns: its handlers are the policies. It is nil if
// ServeMux refuses one.
func (routes table) mux() (mux *http.ServeMux) {
	defer func() {
		if recover() != nil {
			mux = nil
		}
	}()
	mux = http.NewServeMux()
	for pattern, policy := range routes {
		mux.Handle(pattern, marker(policy))
	}
	return mux
}

// served returns the policy under which a request runs a handler; "" if it runs none.
func served(mux *http.ServeMux, method, host string, u *url.URL) string {
	h, _ := mux.Handler(&http.Request{Method: method, Host: host, URL: u})
	policy, _ := h.(marker)
	return string(policy)
}

// A third pattern, of another host or below a tree, may take from GET or HEAD the paths
// that are looked at first, and a path may be written in more than one way.
func TestHeadSideDoorsBehindAThirdPattern(t *testing.T) {
	for _, tt := range []struct {
		name   string
		routes table
		door   string // where HEAD gets in and GET does not
	}{
		{name: "the root is public, and so is HEAD of a whole host", routes: table{"GET /{$}": "public", "GET /": "admin", "HEAD h.example/": "public"}, door: "/x"},
		{name: "one segment is", routes: table{"GET /{x}": "public", "GET /{$}": "public", "GET /": "admin", "HEAD h.example/": "public"}, door: "/x/x"},
		{name: "one and two are, without a slash at the end", routes: table{"/{$}": "read", "/{a}": "read", "/{a}/{b}": "read", "/": "admin", "HEAD h.example/": "read"}, door: "/x/"},
		{name: "trees are", routes: table{"GET /a/{x}/": "public", "GET /a/{$}": "public", "GET /a/{x}": "public", "GET /a/": "admin", "HEAD h.example/a/": "public"}, door: "/a/%2F/x"},
		{name: "one below the tree is", routes: table{"GET /a/{x}": "public", "GET /a/{$}": "public", "GET /a/": "admin", "HEAD h.example/a/{x...}": "public"}, door: "/a/x/x"},
		{name: "all that begins with a segment is, and two below an encoded slash", routes: table{"GET /{$}": "public", "GET /{x}": "public", "GET /{x}/": "public", "GET /%2F/{$}": "public", "GET /%2F/{x}": "public",
			"GET /": "admin", "HEAD h.example/": "public"}, door: "/%2F/x/x"},
		{name: "below a host", routes: table{"GET h.example/a/{$}": "read", "GET h.example/a/": "admin", "HEAD h.example/a/b/": "read"}, door: "/a/b/x"},
		{name: "any method, without a host", routes: table{"/{$}": "public", "/{x...}": "admin", "HEAD h.example/{$}": "public", "HEAD h.example/{x}/{y}": "public"}, door: "/x/x"},
		{name: "letters that are sent encoded, beside an encoded slash", routes: table{"GET /ü%2Fb": "admin", "HEAD /ü%2Fb": "public"}, door: "/%C3%BC%2Fb"},
		{name: "the same in another spelling", routes: table{"GET /%C3%BC%2fb": "admin", "HEAD /ü%2Fb": "public"}, door: "/%C3%BC%2Fb"},
		{name: "a space beside an encoded slash", routes: table{"GET /a+%20%2F/": "admin", "HEAD /a+%20%2F/{x}": "public"}, door: "/a%2B%20%2F/x"},
		{name: "a percent sign", routes: table{"GET /100%/ü": "admin", "HEAD /100%/ü": "public"}, door: "/100%25/%C3%BC"},
		{name: "letters, digits, and what stands beside them in ASCII", routes: table{"GET /AZaz09%40%5B%60%7B%2F%3A": "admin", "HEAD /AZaz09%40%5B%60%7B%2F%3A": "public"}, door: "/AZaz09%40%5B%60%7B%2F%3A"},
		{name: "dots that are not cleaned away", routes: table{"GET /%2e%2e/a": "admin", "HEAD /%2e%2e/a": "public"}, door: "/%2E%2E/a"},
		{name: "braces that are none", routes: table{"GET /%7Bx%7D/é": "admin", "HEAD h.example/%7Bx%7D/{y}": "public"}, door: "/%7Bx%7D/%C3%A9"},
		{name: "an encoded slash is no segment for {x}", routes: table{"GET /%2F/b": "admin", "HEAD h.example/{x}/b": "public", "HEAD h.example/%2F/{y}": "public"}, door: "/%2F/b"},
		{name: "a segment that a sample would have", routes: table{"GET /{x}": "admin", "HEAD h.example/{x}": "public", "HEAD h.example/x": "admin", "HEAD h.example/xx": "admin"}, door: "/xxx"},
		{name: "an end that looks like a tree", routes: table{"GET /a...}": "admin", "HEAD h.example/{x}": "public"}, door: "/a%2E%2E%2E%7D"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mux := tt.routes.mux()
			require.NotNil(t, mux)
			u, err := url.ParseRequestURI(tt.door)
			require.NoError(t, err)
			get, head := served(mux, "GET", "h.example", u), served(mux, "HEAD", "h.example", u)
			require.NotEmpty(t, get)
			require.NotEmpty(t, head)
			require.NotEqual(t, get, head, "net/http opens it")
			h, err := tt.routes.router(t).Handler()
			require.Nil(t, h)
			requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			require.ErrorContains(t, err, "HEAD has another policy")
			require.ErrorContains(t, err, "as for the path "+tt.door+":", "the path is told")
			require.ErrorContains(t, err, "sidedoor_test.go:")
		})
	}
}

// What is no side door is served, however much it looks like one.
func TestTablesWithoutASideDoor(t *testing.T) {
	for _, tt := range []struct {
		name   string
		routes table
	}{
		{name: "every path of HEAD is taken by patterns of its own policy", routes: table{"GET /{$}": "public", "GET /{x}": "public", "GET /": "admin", "HEAD h.example/{$}": "public", "HEAD h.example/{x}": "public"}},
		{name: "GET of the host is served there", routes: table{"GET /": "admin", "GET h.example/": "public", "HEAD h.example/a": "public"}},
		{name: "another host", routes: table{"GET a.example/": "admin", "HEAD h.example/": "public"}},
		{name: "HEAD without a host leaves to a host what it serves", routes: table{"GET h.example/": "admin", "HEAD /": "public"}},
		{name: "no GET", routes: table{"POST /a": "admin", "HEAD /a": "public"}},
		{name: "an encoded slash is no segment for {x}", routes: table{"GET /%2F/b": "admin", "HEAD h.example/{x}/b": "public"}},
		{name: "a slash at the end is none either", routes: table{"GET /a/{$}": "admin", "HEAD h.example/a/{x}": "public"}},
		{name: "a tree begins behind a slash", routes: table{"GET /a": "admin", "HEAD h.example/a/": "public"}},
		// ServeMux redirects GET /a/b to /a/b/, which HEAD does not reach.
		{name: "a redirect is no handler", routes: table{"GET /a/{x}/{$}": "admin", "HEAD h.example/a/{x}": "public"}},
	} {
		t.Run(tt.name, func(t *testing.T) { built(t, tt.routes.router(t)) })
	}
}

// requests are all paths of up to this many segments, with and without a slash at the end.
func requests(tb testing.TB, depth int, segments ...string) (urls []*url.URL) {
	tb.Helper()
	stems, paths := []string{""}, []string{"/"}
	for range depth {
		var longer []string
		for _, stem := range stems {
			for _, s := range segments {
				longer = append(longer, stem+"/"+s)
				paths = append(paths, stem+"/"+s, stem+"/"+s+"/")
			}
		}
		stems = longer
	}
	for _, path := range paths {
		u, err := url.ParseRequestURI(path)
		require.NoError(tb, err)
		urls = append(urls, u)
	}
	return urls
}

// checkTable holds Handler to net/http: it refuses a table for its HEAD if, and only if,
// there is a request whose HEAD runs a handler under another policy than its GET.
func checkTable(t *testing.T, routes table, urls []*url.URL) (refused, judged bool) {
	t.Helper()
	mux := routes.mux()
	if mux == nil {
		return false, false
	}
	hosts := map[string]bool{"": true, "g": true}
	for pattern := range routes {
		_, rest, spaced := strings.Cut(pattern, " ")
		if !spaced {
			rest = pattern
		}
		host, _, _ := strings.Cut(rest, "/")
		hosts[strings.TrimLeft(host, " ")] = true
	}
	door := ""
	for host := range hosts {
		for _, u := range urls {
			get, head := served(mux, "GET", host, u), served(mux, "HEAD", host, u)
			if get != "" && head != "" && get != head {
				door = host + u.EscapedPath()
			}
		}
	}
	_, err := routes.router(t).Handler()
	if err != nil && !strings.Contains(err.Error(), "HEAD has another policy") {
		return false, false // host names and the like
	}
	if (err != nil) != (door != "") {
		t.Fatalf("%v: a side door at %q, and Handler says %v", routes, door, err)
	}
	return err != nil, true
}

// Random tables, every request.
func TestHeadSideDoorsOfRandomTables(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	urls := requests(t, 4, "a", "%C3%BC%2Fb", "c", "%2F")
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	refused, judged := 0, 0
	for range 1500 {
		routes := table{}
		for range 2 + random.IntN(5) {
			path := ""
			for i := range random.IntN(4) {
				path += "/" + pick("a", "a", "ü%2Fb", "%2F", fmt.Sprintf("{x%d}", i), fmt.Sprintf("{x%d}", i))
			}
			if path == "" || random.IntN(2) == 0 {
				path += pick("/", "/", "/{$}", "/{r...}")
			}
			pattern := pick("GET ", "GET ", "HEAD ", "HEAD ", "") + pick("", "", "h") + path
			routes[pattern] = policies[random.IntN(len(policies))]
		}
		r, j := checkTable(t, routes, urls)
		if r {
			refused++
		}
		if j {
			judged++
		}
	}
	t.Logf("%d tables, %d refused", judged, refused)
	require.Greater(t, refused, 200)
	require.Greater(t, judged-refused, 200)
}

func FuzzHeadSideDoors(f *testing.F) {
	f.Add("GET /{$}=0;GET /=2;HEAD h/=0")
	f.Add("GET /ü%2Fb=2;HEAD /ü%2Fb=0")
	f.Add("GET /a/{x}/=0;GET /a/{$}=0;GET /a/{x}=0;GET /a/=2;HEAD h/a/=0")
	f.Add("/{a}/%2F/{b}=1;HEAD h/{a...}=0;GET h/a=2")
	urls := requests(f, 3, "a", "b", "x", "%C3%BC%2Fb", "%2F", "c")
	f.Fuzz(func(t *testing.T, text string) {
		routes := table{}
		for line := range strings.SplitSeq(text, ";") {
			pattern, policy, _ := strings.Cut(line, "=")
			method, rest, _ := strings.Cut(pattern, " ")
			if len(policy) != 1 || policy[0] < '0' || policy[0] > '2' || len(routes) > 8 || strings.Count(rest+method, "/") > 3 {
				return
			}
			routes[pattern] = policies[policy[0]-'0']
		}
		for pattern := range routes {
			_, path, _ := strings.Cut(pattern, "/")
			// Literals that the requests have.
			for s := range strings.SplitSeq(path, "/") {
				if !slices.Contains([]string{"", "a", "b", "x", "ü%2Fb", "%C3%BC%2Fb", "%2F", "{$}"}, s) && !strings.HasPrefix(s, "{") {
					return
				}
			}
		}
		checkTable(t, routes, urls)
	})
}
