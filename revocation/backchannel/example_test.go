package backchannel_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/backchannel"
)

// A user logs out at the provider, and the access tokens of that session open nothing any
// more. They have a sid, which the provider has to be told to write into them.
func Example() {
	as, err := authtest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()

	list, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, Check: list.Check})
	if err != nil {
		fmt.Println(err)
		return
	}
	logout, err := backchannel.New(backchannel.Config{
		List:      list,
		Issuer:    as.Issuer(),
		ClientIDs: []string{authtest.DefaultClientID}, // of the application that the user logs in to
		Keys:      verifier.Keys(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/backchannel-logout", logout)

	token := as.Token(authtest.Claims{Raw: []byte(`{"sid":"session-1"}`)})
	_, err = verifier.Verify(context.Background(), token)
	fmt.Println("before:", err == nil)

	form := url.Values{"logout_token": {as.LogoutToken(map[string]any{"sid": "session-1"})}}
	r := httptest.NewRequest(http.MethodPost, "/backchannel-logout", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println("logout:", w.Code)

	_, err = verifier.Verify(context.Background(), token)
	fmt.Println("after:", bearergate.ReasonOf(err))
	// Output:
	// before: true
	// logout: 200
	// after: revoked
}
