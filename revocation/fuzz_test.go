package revocation_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/bearergate/bearergate/revocation"
)

// Whatever stands in the log is read as what we write, byte for byte, or not at all.
//
// W2-203.
func FuzzRecord(f *testing.F) {
	for _, e := range []revocation.Entry{
		{Issuer: issuer},
		{Issuer: issuer, TokenID: "t1", Subject: "alice", Session: "s1", Client: "shop", Tenant: "acme", Key: [32]byte{1}, Source: "admin"},
		{Issuer: "i", Key: [32]byte{1}, Until: time.Unix(1e9, 0)},
	} {
		f.Add(revocation.Encoded(e, false))
		f.Add(revocation.Encoded(e, true))
	}
	f.Add([]byte{1, 0x80, 0, 0, 0, 0, 1, 'i', 0})
	f.Fuzz(func(t *testing.T, payload []byte) {
		again, ok := revocation.Reencoded(payload)
		if ok && !bytes.Equal(again, payload) || !ok && again != nil {
			t.Errorf("%x\n%x", payload, again)
		}
	})
}
