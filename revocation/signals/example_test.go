package signals_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/signals"
)

// An identity provider says that all sessions of a user were revoked, and the access tokens
// of that user open nothing any more.
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
	receiver, err := signals.New(signals.Config{
		List:          list,
		Issuer:        as.Issuer(),
		Audiences:     []string{"https://api.example.test/signals"}, // of the stream
		Authorization: []bearergate.Secret{bearergate.NewSecret("Bearer gXu7Jp3Qd0Vh5sKe")},
		Keys:          verifier.Keys(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/signals", receiver)

	token := as.Token(authtest.Claims{Subject: authtest.DefaultSubject})
	_, err = verifier.Verify(context.Background(), token)
	fmt.Println("before:", err == nil)

	set := as.SecurityEvent(map[string]any{"aud": "https://api.example.test/signals"})
	r := httptest.NewRequest(http.MethodPost, "/signals", strings.NewReader(set))
	r.Header.Set("Content-Type", "application/secevent+jwt")
	r.Header.Set("Authorization", "Bearer gXu7Jp3Qd0Vh5sKe")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println("event:", w.Code)

	_, err = verifier.Verify(context.Background(), token)
	fmt.Println("after:", bearergate.ReasonOf(err))
	// Output:
	// before: true
	// event: 202
	// after: revoked
}
