package jwtverify_test

import (
	"github.com/bearergate/bearergate/test/kit"
)

// The shared vocabulary, by the short names of this package's tests.
const (
	issuer   = kit.Issuer
	audience = kit.Audience
)

type signer = kit.Signer

var (
	now          = kit.Now
	absent       = kit.Absent
	newSigner    = kit.NewSigner
	requireError = kit.RequireRefused
)
