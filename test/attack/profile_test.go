package attack_test

import (
	"fmt"
	"strconv"
)

// accessTokenRows are about the profile AccessToken: what real servers send
// must pass, and other kinds of token must not (RFC 8725 §3.12).
func accessTokenRows() []row {
	at := func(id, what string, j jwt, want verdict, opts ...func(*row)) row {
		return r("ACC-"+id, what, j, want, append(opts, accessToken)...)
	}
	minimal := func() jwt {
		return valid().noHdr("typ").noClm("sub").noClm("client_id").noClm("iat").noClm("jti")
	}
	jwtTyped := func() jwt { return minimal().hdr("typ", `"JWT"`) }
	explicit := func() jwt { return minimal().hdr("typ", `"at+jwt"`) }
	var rows []row
	for i, t := range []string{`"JWT"`, `"jwt"`, `"Jwt"`, `"at+jwt"`, `"AT+JWT"`, `"application/at+jwt"`, `"Application/At+Jwt"`} {
		rows = append(rows, at(fmt.Sprintf("001.%d", i+1), "typ "+t, minimal().hdr("typ", t), ok))
	}
	for i, t := range []string{
		`"dpop+jwt"`, `"logout+jwt"`, `"secevent+jwt"`, `"token-introspection+jwt"`, `"JOSE"`, `"id_token"`, `""`, `"application/jwt"`, `" JWT"`, `"JWT "`, `"JWT\u0000"`, `"JWS"`, `"JWE"`, `"Bearer"`, `"client-authentication+jwt"`, `"oauth-authz-req+jwt"`, `"ＪWT"`,
	} {
		rows = append(rows, at(fmt.Sprintf("002.%02d", i+1), "typ "+t, minimal().hdr("typ", t), bad(typ)))
	}
	for i, t := range []string{`null`, `5`, `["JWT"]`, `{}`, `true`} {
		rows = append(rows, at(fmt.Sprintf("003.%d", i+1), "typ "+t, minimal().hdr("typ", t), bad(malformed)))
	}
	for i, name := range []string{"at_hash", "c_hash", "s_hash", "events", "token_introspection"} {
		for j, v := range []string{`"x"`, `null`, `""`, `{}`} {
			want := bad(typ)
			if v == `null` { // servers send it for what there is not
				want = ok
			}
			rows = append(rows,
				at(fmt.Sprintf("01%d.%d", i, j+1), name+" "+v+", no typ", minimal().clm(name, v), want),
				at(fmt.Sprintf("01%d.%db", i, j+1), name+" "+v+", typ JWT", jwtTyped().clm(name, v), want))
		}
		rows = append(rows, at(fmt.Sprintf("01%d.x", i), name+", typ at+jwt", explicit().clm(name, `"x"`), ok))
	}
	for i, v := range []string{`"id"`, `"ID"`, `"id_token"`, `"refresh"`, `""`, `"refresh-token"`, `"RefreshToken"`, `"offline.access"`, `"ｉd"`, `"access2"`} {
		for j, name := range []string{"token_use", "token_type", "tokenType", "tokenName"} {
			rows = append(rows, at(fmt.Sprintf("020.%d.%d", i+1, j), name+" "+v, jwtTyped().clm(name, v), bad(typ)))
		}
	}
	for i, v := range []string{`"access"`, `"Access"`, `"access "`, `"access_token"`, `"AccessToken"`, `"access-token"`, `"OAuth Access Token"`, `"at+jwt"`} {
		for j, name := range []string{"token_use", "token_type", "tokenType", "tokenName"} {
			rows = append(rows, at(fmt.Sprintf("020.%d.%d", i+20, j), name+" "+v, jwtTyped().clm(name, v), ok))
		}
	}
	for i, v := range []string{`5`, `null`, `["id"]`, `true`} { // no string tells nothing
		rows = append(rows,
			at(fmt.Sprintf("021.%d", i+1), "token_use "+v, jwtTyped().clm("token_use", v), ok),
			at(fmt.Sprintf("022.%d", i+1), "the claim typ "+v, jwtTyped().clm("typ", v), ok))
	}
	for i, v := range []string{`"ID"`, `"Refresh"`, `"Offline"`, `"Logout"`, `"id"`, `"REFRESH"`, `"offline"`, `"logout"`, `"refresh_token"`, `"IdToken"`, `"logout+jwt"`} {
		rows = append(rows,
			at(fmt.Sprintf("023.%dc", i+1), "the claim type "+v, jwtTyped().clm("type", v), bad(typ)),
			at(fmt.Sprintf("023.%d", i+1), "the claim typ "+v, jwtTyped().clm("typ", v), bad(typ)),
			at(fmt.Sprintf("023.%db", i+1), "the claim typ "+v+" and typ at+jwt", explicit().clm("typ", v), ok))
	}
	for _, name := range []string{"iss", "aud", "exp"} {
		rows = append(rows,
			at("030."+name, "no "+name, jwtTyped().noClm(name), bad(missingClaim)),
			at("031."+name, name+" empty", jwtTyped().clm(name, `""`), map[string]verdict{"exp": bad(malformed)}[name].or(bad(missingClaim))),
			at("032."+name, name+" null", jwtTyped().clm(name, `null`), bad(missingClaim)))
	}
	return append(rows,
		at("004", "no typ", minimal(), ok),
		at("004b", "TYP instead of typ is no typ", minimal().hdr("TYP", `"dpop+jwt"`), ok),
		at("005", "an access token of RFC 9068", valid(), ok),
		at("024", "token_use access, as Cognito sends it", jwtTyped().clm("token_use", `"access"`), ok),
		at("024b", "token_use id and typ at+jwt", explicit().clm("token_use", `"id"`), ok),
		at("025", "the claim typ Bearer, as Keycloak sends it", jwtTyped().clm("typ", `"Bearer"`), ok),
		at("025b", "the claim typ DPoP", jwtTyped().clm("typ", `"DPoP"`), ok),
		at("026", "nonce", jwtTyped().clm("nonce", `"n"`), bad(typ)),
		at("026b", "nonce, no typ", minimal().clm("nonce", `"n"`), bad(typ)),
		at("026c", "nonce null", jwtTyped().clm("nonce", `null`), ok),
		at("026d", "nonce and the claim typ Bearer, as older Keycloaks send them", jwtTyped().clm("nonce", `"n"`).clm("typ", `"Bearer"`), ok),
		at("026e", "nonce and the claim typ bearer", jwtTyped().clm("nonce", `"n"`).clm("typ", `"bearer"`), ok),
		at("026l", "nonce and the claim typ DPoP, as Keycloak sends it for bound tokens", jwtTyped().clm("nonce", `"n"`).clm("typ", `"DPoP"`), ok),
		at("027", "code and state, as an authorization response has them (JARM)", jwtTyped().clm("code", `"c"`).clm("state", `"s"`), bad(typ)),
		at("027b", "code and state, no typ", minimal().clm("code", `"c"`).clm("state", `""`), bad(typ)),
		at("027c", "code alone", jwtTyped().clm("code", `"c"`), ok),
		at("027d", "state alone", jwtTyped().clm("state", `"s"`), ok),
		at("027e", "code and a state of null", jwtTyped().clm("code", `"c"`).clm("state", `null`), ok),
		at("026f", "nonce and the claim typ ID", jwtTyped().clm("nonce", `"n"`).clm("typ", `"ID"`), bad(typ)),
		at("026g", "nonce and typ at+jwt", explicit().clm("nonce", `"n"`), ok),
		at("026h", "nonce, the claim typ Bearer and at_hash", jwtTyped().clm("nonce", `"n"`).clm("typ", `"Bearer"`).clm("at_hash", `"x"`), bad(typ)),
		at("026i", "nonce and token_use access", jwtTyped().clm("nonce", `"n"`).clm("token_use", `"access"`), bad(typ)),
		at("026j", "NONCE and AT_HASH are other claims", jwtTyped().clm("NONCE", `"n"`).clm("AT_HASH", `"x"`), ok),
		at("026k", "at_hash with an escape in its name", jwtTyped().addClm(`"at\u005fhash"`, `"x"`), bad(typ)),
		at("033", "sub null, as some servers send it for clients", jwtTyped().clm("sub", `null`), ok),
		at("033b", "sub empty", jwtTyped().clm("sub", `""`), ok),
		at("033c", "sub a number", jwtTyped().clm("sub", `5`), bad(malformed)),
		at("034", "client_id a number", jwtTyped().clm("client_id", `5`), bad(malformed)),
		at("034b", "jti a number", jwtTyped().clm("jti", `5`), bad(malformed)),
		at("034c", "iat a string", jwtTyped().clm("iat", `"x"`), bad(malformed)),
		at("035", "an ID token for a client", jwtTyped().clm("aud", `"client-1"`).clm("azp", `"client-1"`), bad(aud)),
		at("035b", "an ID token for us, with a nonce", jwtTyped().clm("nonce", `"n"`).clm("azp", `"client-1"`), bad(typ)),
		at("036", "a client assertion", jwtTyped().clm("iss", `"client-1"`).clm("sub", `"client-1"`).clm("aud", strconv.Quote(issuer)), bad(iss)),
		at("037", "an answer of introspection with typ JWT", jwtTyped().clm("token_introspection", `{"active":true}`), bad(typ)),
		at("038", "a logout token with typ JWT", jwtTyped().clm("events", `{"http://schemas.openid.net/event/backchannel-logout":{}}`).clm("sid", `"s"`), bad(typ)),
		at("039", "a mark of another kind and a wrong issuer", jwtTyped().clm("at_hash", `"x"`).clm("iss", `"x"`), bad(iss)),
		at("040", "a mark of another kind in a token that is expired", jwtTyped().clm("at_hash", `"x"`).clm("exp", `1`), bad(typ)),
		at("041", "scp, as Entra and Okta send it", jwtTyped().noClm("scope").clm("scp", `"read"`), ok),
		at("042", "cnf", jwtTyped().clm("cnf", `{"jkt":"x"}`), bad(binding)),
		at("043", "alg none", minimal().hdr("alg", `"none"`).then(func(h, p, _ string) string { return h + "." + p + "." }), bad(algorithm)),
		at("044", "expired", minimal().clm("exp", `1`), bad(expired)),
		at("045", "iat in an hour", minimal().clm("iat", `1800003600`).clm("exp", `1800007200`), bad(notYetValid)),
	)
}

func (v verdict) or(other verdict) verdict {
	if v.status == 0 {
		return other
	}
	return v
}
