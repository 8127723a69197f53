// Package conformance holds evidence about the library that needs the work of
// others, which is why it is a module of its own: users get none of it.
//
//   - wycheproof: the vectors of Project Wycheproof, for JWS, JWK and JWE, and
//     the raw signatures of every algorithm, through internal/jose.
//   - differential: fuzz targets in which another implementation, encoding/json
//     or go-jose, must agree with what we accept.
//   - coverage: which requirement is named by which test. One that we must meet
//     and no test names is a failure.
//   - documents: SECURITY.md and docs/evidence.md name tests that exist, and
//     every field that relaxes a check.
//
// The tables are printed with -v:
//
//	go test -v -run 'Test(JSONWeb|Raw|Coverage)' ./...
package conformance
