// Package interop tests the library against a real authorization server:
// node-oidc-provider, a certified implementation, which as/server.mjs starts on
// free ports of the loopback interface. It needs Node 20.19 or later, and once
//
//	npm ci --prefix as --ignore-scripts
//
// Where either is missing the tests are not run and say so; with
// BEARERGATE_INTEROP=required in the environment, as in CI, that is a failure.
//
// Tests with client certificates also run behind nginx and HAProxy, which are found in PATH
// or where BEARERGATE_NGINX and BEARERGATE_HAPROXY say; one that is missing is treated in the
// same way.
//
// Clients of DPoP are the npm packages oauth4webapi and dpop, which as/client.mjs drives.
//
// The tests go through package middleware and over HTTP, as requests to an API
// would. They use nothing of the server but what it offers to everybody, except
// to rotate its keys and to make it fail. Users log in there without a password.
package interop
