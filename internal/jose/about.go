package jose

import (
	"crypto/fips140"
	"crypto/sha1" //nolint:gosec // thumbprints of RFC 7515 §4.1.7: they choose a key and prove nothing
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/bearergate/bearergate/internal/strictjson"
)

var errEnough = errors.New("jose: the first is enough")

// leafOf is the first certificate of x5c (RFC 7517 §4.7), in DER; nil if there is none. It is
// hashed and not parsed: no check trusts it, and the key comes from other members.
func leafOf(x5c []byte) (der []byte) {
	err := strictjson.Array(x5c, func(element []byte) error {
		text, err := strictjson.String(element)
		if err == nil {
			der, err = base64.StdEncoding.DecodeString(text)
		}
		if err != nil {
			return err
		}
		return errEnough
	})
	if !errors.Is(err, errEnough) {
		return nil
	}
	return der
}

// certificateOf is the thumbprints of a certificate. Where FIPS 140-3 is enforced there is
// no SHA-1: then only an x5t that the JWK itself has is compared.
func certificateOf(der []byte) (c Certificate) {
	if len(der) == 0 {
		return c
	}
	long := sha256.Sum256(der)
	c.SHA256 = encode(long[:])
	if !fips140.Enforced() {
		short := sha1.Sum(der) //nolint:gosec // as above
		c.SHA1 = encode(short[:])
	}
	return c
}

// tenant is what Microsoft Entra writes where the tenant would stand.
const tenant = "{tenantid}"

// servesIssuer reports whether a key whose JWK says of may verify tokens of issuer. They
// are equal, code point by code point, when one tenant stands wherever of has {tenantid}.
func servesIssuer(of, issuer string) bool {
	if of == issuer {
		return true
	}
	if times := strings.Count(of, tenant); times > 0 {
		start := strings.Index(of, tenant)
		end := start + (len(issuer)-len(of))/times + len(tenant)
		if start < end && end <= len(issuer) && isSegment(issuer[start:end]) && strings.ReplaceAll(of, tenant, issuer[start:end]) == issuer {
			return true
		}
	}
	return isFirstVersion(of, issuer)
}

// isSegment reports whether s may stand for {tenantid}: no slash and no escape, so that it
// cannot grow beyond its place.
func isSegment(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_'
	})
}

// firstVersions are where tokens of version 1 of Microsoft Entra say that they are from, by
// where the keys, which are the same, say that they belong to.
var firstVersions = map[string]string{
	"https://login.microsoftonline.com/":        "https://sts.windows.net/",
	"https://login.partner.microsoftonline.cn/": "https://sts.chinacloudapi.cn/",
}

// isFirstVersion reports whether issuer is that of version 1 of the very tenant, or of a
// tenant, that of names for version 2.
func isFirstVersion(of, issuer string) bool {
	for second, first := range firstVersions {
		owner, ok := strings.CutPrefix(of, second)
		if !ok {
			continue
		}
		if owner, ok = strings.CutSuffix(owner, "/v2.0"); !ok {
			continue
		}
		found, ok := strings.CutPrefix(issuer, first)
		if !ok {
			continue
		}
		if found, ok = strings.CutSuffix(found, "/"); ok && isSegment(found) && (owner == tenant || owner == found) {
			return true
		}
	}
	return false
}
