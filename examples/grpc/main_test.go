package main

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bearergate/bearergate"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	require.Equal(t, `CALL                       METHOD  ANSWER
valid token                List    OK: orders of alice
no token                   List    Unauthenticated: a valid bearer token is required
two tokens                 List    InvalidArgument: send exactly one well-formed bearer token
forged token               List    Unauthenticated: a valid bearer token is required
expired token              List    Unauthenticated: a valid bearer token is required
token of another API       List    Unauthenticated: a valid bearer token is required
a scope is missing         Watch   PermissionDenied: the token does not have the required scope
both scopes                Watch   OK: orders of alice
a method without a policy  Delete  Unimplemented: this method is not available
`, out.String())
}

func TestRefusal(t *testing.T) {
	for _, test := range []struct {
		err  error
		want codes.Code
	}{
		{bearergate.ErrMissingToken, codes.Unauthenticated},
		{bearergate.ErrInvalidRequest, codes.InvalidArgument},
		{bearergate.ErrInvalidToken, codes.Unauthenticated},
		{bearergate.ErrInsufficientScope, codes.PermissionDenied},
		{bearergate.ErrInsufficientAuthentication, codes.Unauthenticated},
		{bearergate.ErrUnavailable, codes.Unavailable},
		{bearergate.ErrMisconfigured, codes.Internal},
		{errors.New("foreign"), codes.Internal},
		{context.Canceled, codes.Internal},
	} {
		require.Equal(t, test.want, status.Code(refusal(test.err)), test.err)
	}
}

func TestNewServerReportsAMistake(t *testing.T) {
	_, err := newServer("")
	require.ErrorContains(t, err, "Issuer")
}
