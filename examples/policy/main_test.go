package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	require.Equal(t, `REQUEST                          OF                               ANSWER
GET /orders/acme/7               alice                            200 OK
GET /orders/acme/7               alice again                      200 OK
POST /orders/acme/7/refund       alice                            200 OK
GET /orders/other/7              alice, of another tenant         403 Forbidden
GET /orders/acme/7               alice, whose laptop is lost      403 Forbidden
POST /orders/acme/7/refund       alice, from a device of her own  403 Forbidden
GET /orders/acme/7               support-desk for alice           200 OK
POST /orders/acme/7/refund       support-desk for alice           403 Forbidden
GET /orders/acme/7               a stranger for alice             403 Forbidden
GET /orders/acme/7               alice, inventory down            503 Service Unavailable
The rules were asked 8 times.
`, out.String())
}
