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

var authorization = regexp.MustCompile(`(?i)authorization:`)

// pasted finds the token in what somebody has pasted: the token itself, "Bearer" and the
// token, an Authorization header, or a curl command that has one. Errors do not repeat it.
func pasted(text string) (bearergate.Secret, error) {
	rest, header := text, false
	if at := authorization.FindStringIndex(text); at != nil {
		rest, header = text[at[1]:], true
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
