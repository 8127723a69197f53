package connectgate_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/middleware"
)

// Services keep errors in variables, which all calls share: connect-go only reads them, and so
// must the gate.
func TestErrorThatCallsShare(t *testing.T) {
	const challenge = `Bearer realm="orders"`
	for _, row := range []struct {
		name      string
		shared    *connect.Error
		challenge []string
		order     []string
	}{
		{name: "without metadata", shared: connect.NewError(connect.CodeNotFound, errors.New("no such order"))},
		{name: "with a challenge", challenge: []string{challenge}, order: []string{"7"}, shared: func() *connect.Error {
			err := connect.NewError(connect.CodeUnauthenticated, errors.New("log in again"))
			err.Meta().Set("WWW-Authenticate", challenge)
			err.Meta().Set("Order", "7")
			return err
		}()},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := &service{says: func(context.Context) error { return row.shared }}
			server := serve(t, newGate(t, answers(reader(nil), nil), middleware.Config{}), s)
			for _, w := range wires {
				var all sync.WaitGroup
				errs := make([]error, 8)
				for i := range errs {
					all.Go(func() { _, errs[i] = ask(t, w.client(t, server, get), get, "Bearer x") })
				}
				all.Wait()
				for _, err := range errs {
					var told *connect.Error
					require.ErrorAs(t, err, &told, w.name)
					require.Equal(t, row.shared.Code(), told.Code(), w.name)
					require.Equal(t, row.shared.Message(), told.Message(), w.name)
					require.Equal(t, row.challenge, told.Meta()["Www-Authenticate"], w.name)
					require.Equal(t, row.order, told.Meta()["Order"], w.name)
				}
			}
		})
	}
}

// What another server wrote beside an error is not passed on by connect-go: its challenge is
// for the service, and not for the client.
func TestChallengeOfAnotherServer(t *testing.T) {
	s := &service{says: func(context.Context) error {
		err := connect.NewWireError(connect.CodeUnauthenticated, errors.New("not you"))
		err.Meta().Set("WWW-Authenticate", `Bearer realm="inner"`)
		err.Meta().Set("Retry-After", "7")
		return err
	}}
	server := serve(t, newGate(t, answers(reader(nil), nil), middleware.Config{}), s)
	for _, w := range wires {
		_, err := ask(t, w.client(t, server, get), get, "Bearer x")
		var told *connect.Error
		require.ErrorAs(t, err, &told, w.name)
		require.Equal(t, connect.CodeUnauthenticated, told.Code(), w.name)
		require.Empty(t, told.Meta()["Www-Authenticate"], w.name)
		require.Empty(t, told.Meta()["Retry-After"], w.name)
	}
}
