package mtls

// DER reads a header of a format other than XFCC.
func DER(f Format, value string) (der []byte, wrong string) {
	switch f {
	case RFC9440:
		return parseByteSequence(value)
	case EscapedPEM:
		return parseEscapedPEM(value)
	case Traefik:
		return parseTraefik(value)
	}
	return parseBase64(value)
}

// Parse reads a header of any format, also of one that New refuses.
func Parse(f Format, value string) (sum [32]byte, wrong string) {
	return (&Forwarded{Format: f}).parse(value)
}

// ParseXFCC reads an XFCC header.
func ParseXFCC(value string, hops int) (sum [32]byte, wrong string) { return parseXFCC(value, hops) }
