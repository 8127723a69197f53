package bearergate

import "time"

// Server is what an answer of an authorization server says of the server itself, beside
// its body: its clock and its certificate. It is for warnings, and decides nothing: the
// Date header is not signed, and who answers may be a proxy in front of the server. No
// token and no client has a part in it.
type Server struct {
	// ClockKnown says that Ahead and Within are known. They are not if the answer has no
	// Date header that can be read (RFC 9110 §6.6.1), or has been in a cache on the way,
	// as a header Age says (RFC 9111 §5.1): then it is the date of another answer. A cache
	// that does not say so makes a server look as if it were behind.
	ClockKnown bool
	// Ahead is by how much the clock of the server is ahead of that of this machine;
	// negative if it is behind. It is at most a day, however far the two are apart.
	Ahead time.Duration
	// Within is how far Ahead may be from the truth, in either direction: half of what the
	// answer took, since nobody knows when in that time it was written, and half of the
	// second to which Date is exact.
	Within time.Duration
	// CertificateExpires is when the certificates with which the server has shown who it
	// is are no longer good: the end of the one that ends first, of the chain that this
	// machine has verified or, if it verifies none, of what the server has sent. The zero
	// Time if it is not known: over http, and with a transport that tells nothing of TLS.
	// A connection that is kept shows the certificate that it began with.
	CertificateExpires time.Time
}
