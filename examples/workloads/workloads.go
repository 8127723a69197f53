// Package workloads has recipes for callers that are no users with a browser, and for
// requests that are no short HTTP requests. Each file is one, to copy and to change:
//
//   - kubernetes.go: a service that calls another with its Kubernetes service account
//   - github.go: a job of GitHub Actions that calls an API, to deploy
//   - spiffe.go: a workload that shows a JWT-SVID, verified by the bundle of its trust domain
//   - queue.go: a consumer of a queue that verifies the token of each message
//   - websocket.go: a WebSocket server that ends connections when their token does
//
// The tests run each of them end to end. docs/workloads.md explains them.
package workloads
