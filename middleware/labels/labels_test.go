package labels_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware/labels"
)

func of(issuer, client string) *bearergate.Token {
	return bearergate.NewToken(bearergate.Claims{Issuer: issuer, ClientID: client, Tenant: client})
}

func bound() *bearergate.Token {
	return bearergate.NewToken(bearergate.Claims{ClientID: "shop", Confirmation: map[string][]byte{"jkt": []byte(`"k"`)}})
}

// confirms is a binding that is content with everybody.
type confirms struct{}

func (confirms) Scheme() bearergate.Scheme    { return bearergate.SchemeDPoP }
func (confirms) Members() []string            { return []string{"jkt"} }
func (confirms) Challenge() map[string]string { return nil }
func (confirms) Confirm(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) {
	return nil, nil
}

func TestWhose(t *testing.T) {
	unbound := of("https://as.example.test", "shop")
	proven, _, err := bearergate.Authenticate(t.Context(), bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return bound(), nil }),
		bearergate.Call{Credentials: bearergate.Credentials{Scheme: bearergate.SchemeDPoP, Raw: bearergate.NewSecret("t")}}, confirms{})
	require.NoError(t, err)
	refusal := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired}
	for _, tc := range []struct {
		name  string
		token *bearergate.Token
		err   error
		knows bool
	}{
		{name: "a stranger"},
		{name: "accepted", token: unbound, knows: true},
		{name: "accepted, and the route says no", token: unbound, err: bearergate.ErrForbidden, knows: true},
		{name: "refused, and nobody vouches", err: refusal},
		{name: "refused, and its issuer vouches", err: refusal.WithRefused(unbound), knows: true},
		{name: "the same, wrapped", err: fmt.Errorf("more: %w", refusal.WithRefused(unbound)), knows: true},
		{name: "an error of nobody's", err: errors.New("x")},
		{name: "bound and proven", token: proven, knows: true},
		{name: "bound, and nothing proven", token: bound()},
		{name: "bound, and refused before its proof", err: refusal.WithRefused(bound())},
		{name: "proven, and refused afterwards", err: refusal.WithRefused(proven)}, // what is refused has lost its proof
	} {
		got := labels.Whose(tc.token, tc.err)
		require.Equal(t, tc.knows, got != nil, tc.name)
		if tc.knows {
			require.Equal(t, "shop", got.ClientID(), tc.name)
		}
	}
}

func TestPrincipal(t *testing.T) {
	at := time.Unix(1, 0)
	for _, tc := range []struct {
		want   string
		claims bearergate.Claims
	}{
		{want: labels.User, claims: bearergate.Claims{Subject: "alice", ClientID: "shop", AuthTime: at}},
		{want: labels.Client, claims: bearergate.Claims{Subject: "shop", ClientID: "shop"}},
		{want: labels.Unknown, claims: bearergate.Claims{Subject: "alice", ClientID: "shop"}},
		{want: labels.Unknown, claims: bearergate.Claims{}},
	} {
		require.Equal(t, tc.want, labels.Principal(bearergate.NewToken(tc.claims)), "%+v", tc.claims)
	}
	require.Equal(t, []string{"user", "client", "unknown"}, []string{labels.User, labels.Client, labels.Unknown})
}

func TestFit(t *testing.T) {
	for _, tc := range []struct {
		name, client string
		fit          bool
	}{
		{name: "empty", client: "", fit: true},
		{name: "a word", client: "shop", fit: true},
		{name: "a URL", client: "https://app.example.test/client?x=1#y", fit: true},
		{name: "of other letters", client: "Käse Müller", fit: true},
		{name: "as long as may be", client: strings.Repeat("x", labels.MaxBytes), fit: true},
		{name: "longer", client: strings.Repeat("x", labels.MaxBytes+1)},
		{name: "longer in bytes", client: strings.Repeat("ü", labels.MaxBytes/2) + "x"},
		{name: "no UTF-8", client: "a\xff"},
		{name: "a line", client: "a\nb"},
		{name: "a line at the beginning", client: "\na"},
		{name: "an escape", client: "a\x1b[31m"},
		{name: "written from right to left", client: "a\u202eb"},
		{name: "a space that is none", client: "a\u00a0b"},
		{name: "the word for the others", client: "other"},
	} {
		token := of("https://as.example.test", tc.client)
		require.Equal(t, tc.fit, labels.Fit(token, tc.client), tc.name)
		want := labels.Name{Issuer: "other", Name: "other"}
		if tc.fit {
			want = labels.Name{Issuer: "https://as.example.test", Name: tc.client}
		}
		require.Equal(t, want, labels.New(1).Client(token), tc.name)
		require.Equal(t, want, labels.New(1).Tenant(token), tc.name)
	}
	require.Equal(t, 128, labels.MaxBytes)

	// What is not fit takes no place.
	names := labels.New(1)
	require.Equal(t, "other", names.Client(of("i", "a\n")).Name)
	require.Equal(t, "shop", names.Client(of("i", "shop")).Name)

	// Nor is an issuer that a verifier of the user's makes up.
	for _, issuer := range []string{strings.Repeat("x", 513), "a\xff", "a\n"} {
		require.Equal(t, labels.Name{Issuer: "other", Name: "other"}, labels.New(1).Client(of(issuer, "shop")))
	}
	require.Equal(t, strings.Repeat("x", 512), labels.New(1).Client(of(strings.Repeat("x", 512), "shop")).Issuer)
}

// A server that repeats the token in its answer may do so as the client.
func TestUnquotable(t *testing.T) {
	token := bearergate.NewToken(bearergate.Claims{Issuer: "i", ClientID: "the-token", Tenant: "the-token", Unquotable: true})
	require.False(t, labels.Fit(token, token.ClientID()))
	names := labels.New(10)
	require.Equal(t, labels.Name{Issuer: "other", Name: "other"}, names.Client(token))
	require.Equal(t, labels.Name{Issuer: "other", Name: "other"}, names.Tenant(token))
}

func TestPlaces(t *testing.T) {
	other := labels.Name{Issuer: "other", Name: "other"}
	names := labels.New(4)
	for _, tc := range []struct {
		name  string
		token *bearergate.Token
		want  labels.Name
	}{
		{name: "the first", token: of("a", "shop"), want: labels.Name{Issuer: "a", Name: "shop"}},
		{name: "of the same name, of another issuer", token: of("b", "shop"), want: labels.Name{Issuer: "b", Name: "shop"}},
		{name: "without a name", token: of("a", ""), want: labels.Name{Issuer: "a"}},
		{name: "without anything", token: of("", ""), want: labels.Name{}},
		{name: "one too many", token: of("a", "late"), want: other},
		{name: "of an issuer too many", token: of("c", "shop"), want: other},
		{name: "the first again", token: of("a", "shop"), want: labels.Name{Issuer: "a", Name: "shop"}},
		{name: "that is put together alike", token: of("as", "hop"), want: other},
	} {
		require.Equal(t, tc.want, names.Client(tc.token), tc.name)
	}
	for _, places := range []int{0, -1} {
		require.Equal(t, other, labels.New(places).Client(of("a", "shop")))
	}
}

// However many ask at once, as many have a name as there are places, and each keeps its own.
func TestAtOnce(t *testing.T) {
	names := labels.New(50)
	var (
		all sync.WaitGroup
		mu  sync.Mutex // guards got
		got = map[string]map[string]bool{}
	)
	for worker := range 8 {
		all.Go(func() {
			for i := range 200 {
				client := fmt.Sprint("c", (i+worker*25)%200)
				as := names.Client(of("i", client)).Name
				mu.Lock()
				if got[client] == nil {
					got[client] = map[string]bool{}
				}
				got[client][as] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	named := 0
	for client, as := range got {
		require.Len(t, as, 1, client) // never one name and then another
		if as[client] {
			named++
		}
	}
	require.Equal(t, 50, named)
}

// Of several clients that come for the last place at the same moment, one gets it, and if
// they are one and the same, all of its requests do.
func TestTheLastPlace(t *testing.T) {
	for _, tc := range []struct {
		name    string
		clients int
		names   int
	}{
		{name: "one client", clients: 1, names: 1},
		{name: "several", clients: 8, names: 2}, // and other
	} {
		for range 500 {
			names, start := labels.New(1), make(chan struct{})
			var all sync.WaitGroup
			got := make([]string, 8)
			for worker := range got {
				client := of("i", fmt.Sprint("c", worker%tc.clients))
				all.Go(func() {
					<-start
					got[worker] = names.Client(client).Name
				})
			}
			close(start)
			all.Wait()
			slices.Sort(got)
			require.Len(t, slices.Compact(got), tc.names, tc.name)
		}
	}
}

// A client that is known costs nothing, and so does one too many.
func TestAllocations(t *testing.T) {
	names := labels.New(1)
	known, late := of("i", "shop"), of("i", "late")
	names.Client(known)
	require.Zero(t, testing.AllocsPerRun(100, func() { names.Client(known); names.Client(late) }))
}
