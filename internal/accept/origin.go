package accept

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/jwks"
)

// Origin is an issuer and where its keys come from, as the fields of these names of a
// configuration say: at most one of Keys, KeysURL and MetadataURL, or none to discover the
// keys from Issuer.
type Origin struct {
	Issuer               string
	KeysURL, MetadataURL string
	Keys                 jwks.Source
	KeyHooks             jwks.Hooks
	HTTPClient           *http.Client
	InsecureAllowHTTP    bool
}

// Check adds what is wrong with Issuer, and reports whether keys could be discovered from it.
func (o Origin) Check(wrong *mistake.List) bool {
	switch {
	case o.Issuer == "":
		wrong.Addf("Issuer is empty: set it to the issuer identifier of your authorization server, exactly as in its tokens' iss")
		return false
	case fetch.CheckPasted(o.Issuer) != nil:
		wrong.Addf("Issuer%s %w", fetch.Shown(o.Issuer), fetch.CheckPasted(o.Issuer))
		return false
	case o.Keys != nil || o.KeysURL != "" || o.MetadataURL != "":
		return false // nothing is fetched from it
	case !o.InsecureAllowHTTP && plainHTTP(o.Issuer):
		wrong.Addf("Issuer %q is http: use https, or a loopback host for development, or name the https URL of its key set by KeysURL, or set InsecureAllowHTTP and accept that tokens can be forged", o.Issuer)
		return false
	}
	return true
}

// Source returns Keys, or a cache that fetches them. issuerOK is what Check said.
func (o Origin) Source(wrong *mistake.List, issuerOK bool) jwks.Source {
	discover := jwks.Config{HTTPClient: o.HTTPClient, Hooks: o.KeyHooks, InsecureAllowHTTP: o.InsecureAllowHTTP}
	switch set := given(map[string]bool{"Keys": o.Keys != nil, "KeysURL": o.KeysURL != "", "MetadataURL": o.MetadataURL != ""}); {
	case len(set) > 1:
		wrong.Addf("%s are both set: leave out all but one, and clear the one that a function of package idp has set", strings.Join(set, " and "))
	case o.KeysURL != "":
		discover.Issuer, discover.URL = o.Issuer, o.KeysURL
	case o.MetadataURL != "":
		discover.Issuer, discover.MetadataURL = o.Issuer, o.MetadataURL
	case issuerOK:
		discover.Issuer = o.Issuer
	}
	if o.Keys != nil && o.HTTPClient != nil {
		wrong.Addf("Keys and HTTPClient are both set: HTTPClient is for the cache that is made without Keys; give it to your own")
	}
	return Source(wrong, "Keys", o.Keys, o.Issuer, discover)
}

// given are the names of what is set, in order.
func given(fields map[string]bool) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name] {
			names = append(names, name)
		}
	}
	return names
}

// plainHTTP reports an http URL whose host is not this machine.
func plainHTTP(issuer string) bool {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "http" {
		return false
	}
	return !fetch.Loopback(issuer)
}
