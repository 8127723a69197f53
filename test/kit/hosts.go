package kit

// Hosts says of hosts, as they stand in a URL, whether they name this machine, and
// so may be spoken to without TLS. It is the one table for everything that takes a
// URL: what is loopback in one package must not be a stranger in the next.
func Hosts() map[string]bool {
	return map[string]bool{
		"localhost":              true,
		"LOCALHOST":              true,
		"LocalHost:8080":         true,
		"127.0.0.1":              true,
		"127.1.2.3:80":           true,
		"[::1]":                  true,
		"[::1]:8080":             true,
		"[::ffff:127.0.0.1]":     true,
		"localhost.":             false,
		"localhost.example.test": false,
		"localhost@example.test": false,
		"127.0.0.1.example.test": false,
		"127.1":                  false, // no resolver is asked what it may mean
		"0.0.0.0":                false,
		"[::]":                   false,
		"10.0.0.1":               false,
		"as.example.test":        false,
	}
}
