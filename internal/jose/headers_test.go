package jose_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/internal/jose"
)

// With a header that is known, every token is read as without: whether it has that header,
// another one, one that begins alike, or none.
func TestKnownHeader(t *testing.T) {
	token := validToken(t)
	segment := parts(token)[0]
	rows := map[string]string{
		"the token itself":            token,
		"another payload":             replaced(token, 1, b64([]byte(`{"sub":"bob"}`))),
		"another kid":                 withHeader(t, `{"alg":"EdDSA","kid":"k2","typ":"at+jwt"}`),
		"another spelling":            withHeader(t, plainHeader+" "),
		"a header that begins alike":  replaced(token, 0, segment+"AAAA"),
		"a header that is cut":        replaced(token, 0, segment[:len(segment)-4]),
		"no header":                   replaced(token, 0, ""),
		"the header alone":            segment,
		"the header and a dot":        segment + ".",
		"four parts":                  token + ".AAAA",
		"an empty payload":            replaced(token, 1, ""),
		"a payload with a break":      replaced(token, 1, "\n"+parts(token)[1]),
		"a payload that is padded":    replaced(token, 1, parts(token)[1]+"="),
		"a signature outside":         replaced(token, 2, "A*AA"),
		"no signature":                replaced(token, 2, ""),
		"crit":                        withHeader(t, `{"alg":"EdDSA","crit":["x"]}`),
		"too long":                    replaced(token, 1, strings.Repeat("A", maxToken)),
		"a header that is not base64": replaced(token, 0, "*"+segment[1:]),
	}
	for name, sent := range rows {
		t.Run(name, func(t *testing.T) {
			want, wrong := jose.Parse(sent, maxToken)
			var known jose.Headers
			read := func() {
				t.Helper()
				none, err := (*jose.Headers)(nil).ParseInto(new([]byte), sent, maxToken)
				require.Equal(t, wrong, err)
				require.Equal(t, want, none)
				got, err := known.ParseInto(new([]byte), sent, maxToken)
				require.Equal(t, wrong, err)
				require.Equal(t, want, got)
			}
			read()
			j, err := jose.Parse(token, maxToken)
			require.NoError(t, err)
			known.Keep(j)
			read()
			if wrong == nil {
				known.Keep(want)
				read()
			}
		})
	}
}

// What is known does not point into the buffer of the token that it came from, which the
// next one uses.
func TestKnownHeaderIsACopy(t *testing.T) {
	token := validToken(t)
	buf := jose.Borrow()
	var known jose.Headers
	j, err := known.ParseInto(buf, token, maxToken)
	require.NoError(t, err)
	known.Keep(j)
	jose.GiveBack(buf, token)
	want, err := jose.Parse(token, maxToken)
	require.NoError(t, err)
	got, err := known.ParseInto(new([]byte), token, maxToken)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// The last header is the one that is known, and one that is known costs nothing.
func TestHeaderIsReadOnce(t *testing.T) {
	first, second := validToken(t), withHeader(t, `{"alg":"EdDSA","kid":"k2"}`)
	var known jose.Headers
	buf := make([]byte, 0, 4<<10)
	allocated := func(token string) float64 {
		return testing.AllocsPerRun(100, func() {
			if _, err := known.ParseInto(&buf, token, maxToken); err != nil {
				t.Error(err)
			}
		})
	}
	keep := known.Keep
	require.NotZero(t, allocated(first))
	for _, token := range []string{first, second, first} {
		j, err := jose.Parse(token, maxToken)
		require.NoError(t, err)
		keep(j)
		require.Zero(t, allocated(token))
		require.Zero(t, testing.AllocsPerRun(100, func() { known.Keep(j) }), "it is made anew for a header that is known")
	}
	require.NotZero(t, allocated(second))

	// The longest that is kept, and one that is longer.
	for spare, known := range map[int]bool{0: true, 1: false} {
		header := `{"alg":"EdDSA","x":"` + strings.Repeat("x", 768-len(`{"alg":"EdDSA","x":""}`)+spare) + `"}`
		require.Equal(t, known, len(b64([]byte(header))) <= 1<<10)
		j, err := jose.Parse(withHeader(t, header), maxToken)
		require.NoError(t, err)
		require.NotZero(t, allocated(withHeader(t, header)))
		keep(j)
		require.Equal(t, known, allocated(withHeader(t, header)) == 0)
	}
	(*jose.Headers)(nil).Keep(jose.JWS{})
}
