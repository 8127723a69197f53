package main

import (
	"context"
	"regexp"
	"strings"

	"github.com/bearergate/bearergate"
)

// token reads a token from a file, or from standard input for "-".
func (e *env) token(ctx context.Context, name string) (bearergate.Secret, error) {
	data, err := e.read(ctx, "token", name, maxToken)
	if err != nil {
		return bearergate.Secret{}, err
	}
	return pasted(string(data))
}

var authorization = regexp.MustCompile(`(?i)(proxy-)?authorization:`)

// headerValue is what follows the first Authorization in a text; Proxy-Authorization is
// another one.
func headerValue(text string) (string, bool) {
	for _, at := range authorization.FindAllStringSubmatchIndex(text, -1) {
		if at[2] < 0 {
			return text[at[1]:], true
		}
	}
	return text, false
}

// otherScheme reports whether the value of a header begins with a scheme that is none of
// access tokens: Basic, with a name and a password.
func otherScheme(value string) bool {
	value = strings.TrimLeft(value, " \t\"'")
	if end := strings.IndexAny(value, "\r\n\"'"); end >= 0 {
		value = value[:end]
	}
	words := strings.Fields(value)
	return len(words) > 1 && !strings.EqualFold(words[0], "Bearer") && !strings.EqualFold(words[0], "DPoP")
}

// pasted finds the token in what somebody has pasted: the token itself, "Bearer" and the
// token, an Authorization header, or a curl command that has one. Errors do not repeat it.
func pasted(text string) (bearergate.Secret, error) {
	rest, header := headerValue(text)
	if header && otherScheme(rest) {
		return bearergate.Secret{}, usage("token: the scheme of the Authorization header is neither Bearer nor DPoP")
	}
	words := strings.FieldsFunc(rest, func(r rune) bool { return strings.ContainsRune(" \t\r\n\"'", r) })
	if len(words) > 1 && (strings.EqualFold(words[0], "Bearer") || strings.EqualFold(words[0], "DPoP")) {
		words = words[1:]
	}
	switch {
	case len(words) == 0:
		return bearergate.Secret{}, usage("token: there is none: nothing was read but space")
	case len(words) > 1 && !header:
		return bearergate.Secret{}, usage("token: what was read is more than one word: give the token alone, or the line of its Authorization header")
	}
	return bearergate.NewSecret(words[0]), nil
}
