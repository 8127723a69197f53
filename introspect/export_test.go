package introspect

import "net/http"

// DefaultHTTPClient is the client of a Config that has none.
func DefaultHTTPClient() *http.Client { return httpClient(nil) }
