// Package wycheproof_test gives the vectors of Project Wycheproof to
// internal/jose. What Wycheproof calls invalid must be refused, without any
// exception. What it calls valid must be accepted, but for what a strict
// verifier of asymmetric signatures refuses on purpose: each such vector is
// listed by its ID with the reason.
package wycheproof_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/c2sp/wycheproof"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/internal/jose"
)

const maxToken = 16 << 10

// Why a vector that Wycheproof calls valid is refused here.
const (
	hmac         = "HMAC: a resource server would share the secret with everybody who verifies"
	encrypted    = "JWE: encrypted tokens are not accepted"
	emptyPayload = "policy: an access token has claims, so an empty payload is malformed"
	alienAlg     = "the alg of the JWK is not that of the token (RFC 8725 §3.1), or no registered one (ES521)"
	badBase64    = "HMAC, and not base64url either: the vector has a ? inside a part"
)

// refused are the exceptions: by file, the IDs as ranges, and the reason.
var refused = map[string][]exception{
	"json_web_signature_test.json": {
		{"1,348,352,357..359,376,377", hmac},
		{"372,373", badBase64},
		{"259,264,268,272,320,325", emptyPayload},
		{"346,347,350,351", alienAlg},
	},
	"json_web_key_test.json": {
		{"2,13..15", hmac},
	},
	"json_web_crypto_test.json": {
		{"1,48", hmac},
		{"50,67", encrypted},
	},
}

// unfit are the groups whose keys must not be admitted, whatever the token: by
// file, the comments of the groups, "*" all of them.
var unfit = map[string][]string{
	"json_web_signature_test.json": {"rsa_encryption", "ec_key_for_encryption"},
	"json_web_key_test.json": {
		"jws_rsa_roca_key", "keysize_too_small", "exponentOne", "wrong_algorithm", "invalid_algorithm",
		"invalid_use", "invalid_point", "wrong_curve", "wrong_kty", "invalid_aes_gcm_key", "invalid_aes_kw_key",
	},
	"json_web_crypto_test.json":     {"jws_rsa_roca_key", "jwe_aes", "jwe_ec"},
	"json_web_encryption_test.json": {"*"},
}

type exception struct{ ids, reason string }

// byID expands exceptions; an ID that is there twice is a mistake.
func byID(t *testing.T, list []exception) map[int]string {
	t.Helper()
	out := map[int]string{}
	for _, e := range list {
		require.NotEmpty(t, e.reason)
		for part := range strings.SplitSeq(e.ids, ",") {
			first, last, isRange := strings.Cut(part, "..")
			if !isRange {
				last = first
			}
			from, err := strconv.Atoi(first)
			require.NoError(t, err)
			to, err := strconv.Atoi(last)
			require.NoError(t, err)
			require.LessOrEqual(t, from, to)
			for id := from; id <= to; id++ {
				require.NotContains(t, out, id, "listed twice")
				out[id] = e.reason
			}
		}
	}
	return out
}

// file is a file of vectors, G being a group of them.
type file[G any] struct {
	NumberOfTests int `json:"numberOfTests"`
	TestGroups    []G `json:"testGroups"`
}

func load[G any](t *testing.T, name string) file[G] {
	t.Helper()
	data, err := fs.ReadFile(wycheproof.TestVectors, name)
	require.NoError(t, err)
	var f file[G]
	require.NoError(t, json.Unmarshal(data, &f))
	require.NotEmpty(t, f.TestGroups, "%s holds nothing", name)
	return f
}

// tally counts the verdicts on one file.
type tally struct {
	file            string
	groups, vectors int
	accepted        int            // valid, accepted
	rejected        int            // invalid, refused
	either          int            // "acceptable", refused
	policy          map[string]int // valid, refused for a listed reason
	wrong           int            // invalid, accepted
}

// judge compares a verdict with that of Wycheproof.
func (c *tally) judge(t *testing.T, id int, result, comment string, ok bool, exceptions map[int]string) {
	t.Helper()
	c.vectors++
	reason, listed := exceptions[id]
	switch {
	case result == "valid" && ok && !listed:
		c.accepted++
	case result == "valid" && !ok && listed:
		c.policy[reason]++
	case result == "valid" && ok:
		t.Errorf("%s %d (%s): accepted, but listed as refused: %s", c.file, id, comment, reason)
	case result == "valid":
		t.Errorf("%s %d (%s): valid, but refused, and that is not listed", c.file, id, comment)
	case ok:
		c.wrong++
		t.Errorf("%s %d (%s): WRONG ACCEPT: %s by Wycheproof", c.file, id, comment, result)
	case listed:
		t.Errorf("%s %d (%s): listed as an exception, but it is none", c.file, id, comment)
	case result == "invalid":
		c.rejected++
	case result == "acceptable":
		c.either++
	default:
		t.Errorf("%s %d: unknown result %q", c.file, id, result)
	}
	delete(exceptions, id)
}

// counted asserts that the whole file was judged.
func (c *tally) counted(t *testing.T, vectors int, exceptions map[int]string) {
	t.Helper()
	require.NotZero(t, c.groups, c.file)
	require.NotZero(t, c.vectors, c.file)
	require.Equal(t, vectors, c.vectors, "%s says how many vectors it holds", c.file)
	require.Empty(t, exceptions, "%s: exceptions for vectors that do not exist", c.file)
}

func table(t *testing.T, tallies []*tally) {
	t.Helper()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "groups\tvectors\taccepted\trefused\trefused by policy\tacceptable, refused\tWRONG ACCEPTS\t  file")
	sum := tally{file: "all"}
	policy, wrong := 0, 0
	for _, c := range tallies {
		p := total(c.policy)
		_, _ = fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t  %s\n", c.groups, c.vectors, c.accepted, c.rejected, p, c.either, c.wrong, c.file)
		sum.groups, sum.vectors, sum.accepted = sum.groups+c.groups, sum.vectors+c.vectors, sum.accepted+c.accepted
		sum.rejected, sum.either, policy, wrong = sum.rejected+c.rejected, sum.either+c.either, policy+p, wrong+c.wrong
	}
	_, _ = fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t  all\n", sum.groups, sum.vectors, sum.accepted, sum.rejected, policy, sum.either, wrong)
	_ = w.Flush()
	for _, c := range tallies {
		for _, reason := range slices.Sorted(maps.Keys(c.policy)) {
			_, _ = fmt.Fprintf(&b, "%s: %d valid refused: %s\n", c.file, c.policy[reason], reason)
		}
	}
	t.Log("\n" + b.String())
}

func total(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

type jsonGroup struct {
	Comment string          `json:"comment"`
	Public  json.RawMessage `json:"public"`
	Private json.RawMessage `json:"private"`
	Tests   []struct {
		ID      int             `json:"tcId"`
		Comment string          `json:"comment"`
		Result  string          `json:"result"`
		JWS     json.RawMessage `json:"jws"`
		JWE     json.RawMessage `json:"jwe"`
	} `json:"tests"`
}

// admitted returns the keys of a JWK or a JWK Set that are admitted.
func admitted(t *testing.T, data []byte) []jose.Key {
	t.Helper()
	if data == nil {
		return nil
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	require.NoError(t, json.Unmarshal(data, &set))
	if set.Keys == nil {
		key, err := jose.ParseKey(data)
		if err != nil {
			return nil
		}
		return []jose.Key{key}
	}
	keys, _, err := jose.ParseSet(data, 100)
	if err != nil {
		require.Empty(t, keys)
	}
	return keys
}

// requireUnpublished asserts that nothing private or symmetric is admitted.
func requireUnpublished(t *testing.T, data []byte) {
	t.Helper()
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	require.NoError(t, json.Unmarshal(data, &set))
	if set.Keys == nil {
		set.Keys = []json.RawMessage{data}
	}
	for _, element := range set.Keys {
		var members map[string]any
		require.NoError(t, json.Unmarshal(element, &members))
		if members["d"] != nil || members["kty"] == "oct" {
			_, err := jose.ParseKey(element)
			require.Error(t, err)
		}
	}
}

// verdict is what a resource server that trusts these keys says, with every
// algorithm there is allowed and whatever kid the token names: more than any
// configuration of the library lets through.
func verdict(keys []jose.Key, token string) bool {
	j, err := jose.Parse(token, maxToken)
	if err != nil {
		return false
	}
	for _, key := range keys {
		if key.Verify(j.Header.Algorithm, j.Signed, j.Signature) == nil {
			return true
		}
	}
	return false
}

// text is the token as it would be sent: the JSON serialization, which some
// vectors have as an object, in its own text.
func text(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	if raw[0] != '"' {
		return string(raw)
	}
	var s string
	require.NoError(t, json.Unmarshal(raw, &s))
	return s
}

// Every vector of the four files about JOSE.
//
// req: R7515-03, R7515-07, R7515-08, R7515-11, R7515-14, R7517-01, R7517-02, R7517-04, R7517-05
// req: R7519-12, R8725-01, R8725-02, R8725-03, R8725-04, R8725-05, R8725-13
func TestJSONWeb(t *testing.T) {
	var tallies []*tally
	for _, name := range []string{"json_web_signature_test.json", "json_web_key_test.json", "json_web_crypto_test.json", "json_web_encryption_test.json"} {
		f := load[jsonGroup](t, name)
		exceptions := byID(t, refused[name])
		c := &tally{file: name, policy: map[string]int{}}
		met := map[string]bool{}
		for _, g := range f.TestGroups {
			c.groups++
			require.NotEmpty(t, g.Tests, g.Comment)
			require.NotNil(t, g.Private)
			requireUnpublished(t, g.Private)
			// A group without public keys is one of symmetric keys or of decryption,
			// or has both kinds in one set.
			keys := append(admitted(t, g.Public), admitted(t, g.Private)...)
			if slices.Contains(unfit[name], g.Comment) || slices.Contains(unfit[name], "*") {
				met[g.Comment], met["*"] = true, true
				if len(keys) > 0 {
					t.Errorf("%s, group %s: a key is admitted that must not be", name, g.Comment)
				}
			}
			for _, v := range g.Tests {
				require.NotEqual(t, v.JWS == nil, v.JWE == nil, "%s %d", name, v.ID)
				if name == "json_web_encryption_test.json" && v.Result == "valid" {
					exceptions[v.ID] = encrypted
				}
				token := v.JWS
				if token == nil {
					token = v.JWE
				}
				c.judge(t, v.ID, v.Result, v.Comment, verdict(keys, text(t, token)), exceptions)
			}
		}
		for _, comment := range unfit[name] {
			require.True(t, met[comment], "%s has no group %s", name, comment)
		}
		c.counted(t, f.NumberOfTests, exceptions)
		tallies = append(tallies, c)
	}
	table(t, tallies)
}

// The files that hold JSON Web something are these four, and we read them all.
func TestJSONWebFiles(t *testing.T) {
	names, err := fs.Glob(wycheproof.TestVectors, "json_web_*.json")
	require.NoError(t, err)
	require.Len(t, names, 4)
}
