package apikey

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/quote"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/scope"
)

// Record is what is kept of one key. It holds nothing that opens the API.
type Record struct {
	// ID is the public part of the key, as [Generate] or [Import] returned it.
	ID string `json:"id"`
	// Hash is the hash of the key, as they returned it.
	Hash Hash `json:"hash"`
	// Owner is whose key it is: the client ID and the subject of its tokens, 1 to 128 bytes
	// of printable text. Use the client ID that the owner has at the authorization server
	// to see both side by side. It stands in metrics and logs.
	Owner string `json:"owner"`
	// Scopes are what the key grants: each a scope token (RFC 6749 §3.3) that does not begin
	// with "bearergate:", for [WithoutKeys] does. Default: none, and only routes that demand no
	// scope are open.
	Scopes []string `json:"scopes,omitempty"`
	// Roles are those of the owner. Default: none.
	Roles []string `json:"roles,omitempty"`
	// Tenant is the customer that the key belongs to. Default: none.
	Tenant string `json:"tenant,omitempty"`
	// NotAfter is from when on this key is refused. The zero time, and one after Config.End,
	// mean Config.End. By Config.Now, without leeway.
	NotAfter time.Time `json:"not_after,omitzero"`
}

// The bounds of a [Record] and of a file of them.
const (
	MaxOwnerBytes = 128
	MaxListed     = 100 // scopes, and roles, of one record
	MaxFileBytes  = 64 << 20

	maxTextBytes = 256 // of a scope, a role and a tenant
	maxMistakes  = 100 // that are named
)

// problems are the mistakes of many records; no more than maxMistakes are named.
type problems struct {
	list *mistake.List
	n    int
}

func (p *problems) addf(format string, args ...any) {
	if p.n++; p.n <= maxMistakes {
		p.list.Addf(format, args...)
	}
}

func (p *problems) end() {
	if p.n > maxMistakes {
		p.list.Addf("and %d mistakes more", p.n-maxMistakes)
	}
}

func checkRecord(r Record, wrong func(format string, args ...any)) {
	if !isID(r.ID) && !isLegacyID(r.ID) {
		wrong("its ID is none of Generate or Import; if it is the key itself, take it out of there, for it was written down in the clear")
	}
	if r.Hash == (Hash{}) {
		wrong("it has no hash: take the one of Generate or Import")
	}
	switch {
	case r.Owner == "":
		wrong("it has no owner: say whose key it is")
	case len(r.Owner) > MaxOwnerBytes || !isText(r.Owner):
		wrong("its owner has more than %d bytes or a character that is not printable", MaxOwnerBytes)
	}
	if len(r.Scopes) > MaxListed || len(r.Roles) > MaxListed {
		wrong("it has more than %d scopes or roles", MaxListed)
		return
	}
	for _, s := range r.Scopes {
		switch {
		case len(s) > maxTextBytes || scope.All(s).Err() != nil:
			wrong("its scope %s is no scope token (RFC 6749 section 3.3) of at most %d bytes", quote.One(s), maxTextBytes)
		case strings.HasPrefix(s, reserved):
			wrong("its scope %s begins with %s, which no key may have", quote.One(s), reserved)
		}
	}
	for _, role := range r.Roles {
		if role == "" || len(role) > maxTextBytes || !isText(role) {
			wrong("its role %s is empty, has more than %d bytes or a character that is not printable", quote.One(role), maxTextBytes)
		}
	}
	if len(r.Tenant) > maxTextBytes || !isText(r.Tenant) {
		wrong("its tenant has more than %d bytes or a character that is not printable", maxTextBytes)
	}
	if !isDate(r.NotAfter) {
		wrong("its end (NotAfter) is not between the years 1 and 9999: leave it out if it ends with all others")
	}
}

// isDate reports a time that RFC 3339 and HTTP dates can hold: what is in the report and in
// Sunset.
func isDate(t time.Time) bool {
	year := t.UTC().Year()
	return 1 <= year && year <= 9999
}

func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// entryOf makes what is kept of a record that was checked.
func (k *Keys) entryOf(r Record) *entry {
	until := k.config.End
	if !r.NotAfter.IsZero() && r.NotAfter.Before(until) {
		until = r.NotAfter
	}
	scopes := scope.Of(r.Scopes...)
	claims := map[string]any{"iss": k.config.Issuer, "sub": r.Owner, "client_id": r.Owner, "jti": r.ID, "exp": until.Unix(), "scope": scopes.String()}
	if len(r.Roles) > 0 {
		claims["roles"] = r.Roles
	}
	raw, _ := strictjson.Marshal(claims) // texts that were checked
	return &entry{hash: r.Hash, until: until, use: k.uses.of(r, until), token: bearergate.NewToken(bearergate.Claims{
		Issuer: k.config.Issuer, Subject: r.Owner, ClientID: r.Owner, ID: r.ID, Scopes: scopes,
		Roles: r.Roles, Tenant: r.Tenant, ExpiresAt: until, Raw: raw})}
}

// noKeys is the scope that no key has. What begins with reserved could be a wildcard for it.
const (
	reserved = "bearergate:"
	noKeys   = reserved + "no-api-key"
)

// WithoutKeys is a requirement that no key satisfies, and no token either. It is for trying out
// Config.End before it comes:
//
//	middleware.Trial(apikey.WithoutKeys(), keys.Issued)
//
// on a route reports, in [middleware.DecisionEvent.Trial] and the audit, each request with a
// key that will be refused from then on. It enforces nothing. Without keys.Issued, tokens
// would be reported too.
//
// [middleware.DecisionEvent.Trial]: https://pkg.go.dev/github.com/bearergate/bearergate/middleware#DecisionEvent
func WithoutKeys() scope.Requirement { return scope.All(noKeys) }

// ParseRecords reads a file of keys, for Config.Records:
//
//	{"version": 1, "keys": [
//	  {"id": "…", "hash": "…", "owner": "acme", "scopes": ["orders:read"], "roles": ["clerk"],
//	   "tenant": "eu", "not_after": "2027-01-31T00:00:00Z"}
//	]}
//
// id, hash and owner are required. Its error is [bearergate.ErrMisconfigured] and names
// every mistake, up to a hundred of them: another version, a member that is unknown or there
// twice, a value of another type, what New says of a Record, an ID that is there twice. The
// error does not hold what might be a key.
func ParseRecords(file []byte) ([]Record, error) {
	list := mistake.In("apikey")
	p := parser{problems: problems{list: &list}, seen: map[string]bool{}}
	if len(file) > MaxFileBytes {
		p.addf("the file has %d bytes: %d are the most", len(file), MaxFileBytes)
	} else {
		p.file(file)
	}
	p.end()
	if err := list.Err(); err != nil {
		return nil, misconfigured(err)
	}
	return p.records, nil
}

type parser struct {
	problems
	records []Record
	seen    map[string]bool
}

var errTooMany = errors.New("too many")

func (p *parser) file(file []byte) {
	var version, keys []byte
	err := strictjson.Shallow(file, func(name, value []byte) error {
		switch string(name) {
		case "version":
			version = value
		case "keys":
			keys = value
		default:
			p.addf("a member of the file is neither version nor keys: take it out")
		}
		return nil
	})
	switch {
	case err != nil:
		p.addf("the file is not one JSON object whose members are there once each")
		return
	case string(version) != "1":
		p.addf("the member version is missing, or not 1")
		return
	case keys == nil:
		p.addf("the member keys is missing: make it an array of objects")
		return
	}
	n := 0
	p.records = []Record{} // a file without keys is no mistake
	err = strictjson.ShallowArray(keys, func(element []byte) error {
		if n++; n > MaxRecords {
			return errTooMany
		}
		p.record(n, element)
		return nil
	})
	switch {
	case errors.Is(err, errTooMany):
		p.list.Addf("there are more than %d keys", MaxRecords) // said whatever else there is
	case err != nil:
		p.addf("the member keys is no array of objects")
	}
}

// record reads the n-th record.
func (p *parser) record(n int, element []byte) {
	var r Record
	where := func() string { return label(n, r.ID) }
	members := map[string][]byte{}
	err := strictjson.Object(element, func(name, value []byte) error {
		members[string(name)] = slices.Clone(value)
		return nil
	})
	if err != nil {
		p.addf("record %s: it is no object, or a member is there twice", where())
		return
	}
	text := func(member string) (s string) {
		value, there := members[member]
		if !there {
			return ""
		}
		s, err := strictjson.String(value)
		if err != nil {
			p.addf("record %s: the member %s is no string", where(), member)
		}
		return s
	}
	texts := func(member string) []string {
		value, there := members[member]
		if !there {
			return nil
		}
		list, err := strictjson.Strings(value)
		if err != nil {
			p.addf("record %s: the member %s is no array of strings", where(), member)
		}
		return list
	}
	r.ID = text("id") // first: the others say whose they are
	if hash := text("hash"); hash != "" {
		if err := r.Hash.UnmarshalText([]byte(hash)); err != nil {
			p.addf("record %s: %w", where(), err)
			r.Hash = Hash{1} // said once
		}
	}
	r.Owner, r.Tenant, r.Scopes, r.Roles = text("owner"), text("tenant"), texts("scopes"), texts("roles")
	if _, there := members["not_after"]; there {
		if r.NotAfter, _ = time.Parse(time.RFC3339, text("not_after")); r.NotAfter.IsZero() { // so with an error
			p.addf(`record %s: the member not_after is no time of RFC 3339, such as "2027-01-31T00:00:00Z"`, where())
		}
	}
	for member := range members {
		if !slices.Contains([]string{"id", "hash", "owner", "scopes", "roles", "tenant", "not_after"}, member) {
			// Not named: somebody may have written the key there.
			p.addf("record %s: a member is none of id, hash, owner, scopes, roles, tenant, not_after: take it out", where())
		}
	}
	checkRecord(r, func(format string, args ...any) {
		p.addf("record %s: "+format, append([]any{where()}, args...)...)
	})
	if p.seen[r.ID] && r.ID != "" {
		p.addf("record %s: its ID is there twice", where())
	}
	p.seen[r.ID] = true
	p.records = append(p.records, r) // if one is wrong, none is returned
}
