// Package edge tests what decides for real proxies: nginx and Caddy, found in PATH or where
// BEARERGATE_NGINX and BEARERGATE_CADDY say, with the configuration files that
// examples/forwardauth has for them. One that is missing is not tested, and the test says so;
// with BEARERGATE_INTEROP=required in the environment, as in CI, that is a failure.
package edge
