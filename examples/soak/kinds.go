package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
)

// way is how a request comes to a process.
type way int

const (
	direct  way = 1 << iota // over TLS that ends at the process
	plain                   // to where only proxies ought to come
	haproxy                 // through HAProxy, at which TLS ends
	nginx                   // to nginx, at which TLS ends, and which asks the process
	rpc                     // as a call of the gRPC server, over TLS
	front   = direct | haproxy | nginx | rpc
)

// shown is a client certificate.
type shown int

const (
	noCertificate shown = iota
	ownCertificate
	otherCertificate
	certificates
)

// request is what is sent.
type request struct {
	path   string // "": /orders/1
	scheme bearergate.Scheme
	header http.Header
	shown  shown
	epoch  *epoch  // of the key of its token; nil: none that is rotated
	mortal *mortal // its token; nil: it is not going to be revoked
	asks   bool    // as in kind
	user   string  // whose token it is
	made   time.Time
}

// want is an answer that is right. Why is what the process says to operators.
type want struct {
	status int
	error  string            // of the challenges, each with its scheme; "": none
	why    bearergate.Reason // "": accepted
}

var accepted = want{status: http.StatusOK}

func refused(scheme bearergate.Scheme, code string, why bearergate.Reason) want {
	return want{http.StatusUnauthorized, string(scheme) + " " + code, why}
}

func invalid(why bearergate.Reason) want {
	return refused(bearergate.SchemeBearer, "invalid_token", why)
}

func proof(why bearergate.Reason) want {
	return refused(bearergate.SchemeDPoP, "invalid_dpop_proof", why)
}

var (
	noToken     = want{http.StatusUnauthorized, "", bearergate.ReasonNoToken}
	unbound     = invalid(bearergate.ReasonBinding)
	dpopUnbound = refused(bearergate.SchemeDPoP, "invalid_token", bearergate.ReasonBinding)
	wantsNonce  = refused(bearergate.SchemeDPoP, "use_dpop_nonce", bearergate.ReasonNonce)
)

// kind is a kind of request.
type kind struct {
	name string
	// want is what is answered when all is well.
	want want
	// asks: the authorization server may have to be asked. uses: the store of used proofs
	// is. listed: the token is good, so that the list is asked whether it is revoked.
	asks, uses, listed bool
	through            way
	make               func(w *world, s *state) *request // nil: there is none at present
	fresh              bool                              // its key may not be known yet
}

// again is the kind of a proof that has opened before.
const again = "DPoP, the proof once more"

// kinds are all of them.
var kinds = allKinds()

func kindOf(name string) int {
	for i := range kinds {
		if kinds[i].name == name {
			return i
		}
	}
	panic("soak: there is no kind " + name)
}

func allKinds() (all []kind) {
	add := func(k kind) { all = append(all, k) }
	for _, alg := range algorithms {
		add(kind{name: alg, want: accepted, listed: true, through: front, make: ofKit(alg)})
	}
	add(kind{name: "of a key just rotated to", want: accepted, asks: true, listed: true, fresh: true, through: direct, make: func(_ *world, s *state) *request { return bearer(s.next, "ES256") }})
	add(kind{name: "of a withdrawn key", want: invalid(bearergate.ReasonUnknownKey), asks: true, through: front, make: func(_ *world, s *state) *request { return bearer(s.old, "ES256") }})
	for _, k := range []struct {
		name string
		why  bearergate.Reason
	}{
		{"expired", bearergate.ReasonExpired}, {"bad signature", bearergate.ReasonSignature}, {"alg none", bearergate.ReasonAlgorithm},
		{"foreign key", bearergate.ReasonSignature}, {"foreign issuer", bearergate.ReasonIssuer}, {"wrong audience", bearergate.ReasonAudience},
		{"not for an API", bearergate.ReasonType},
	} {
		add(kind{name: k.name, want: invalid(k.why), through: front, make: ofKit(k.name)})
	}
	add(kind{name: "wrong scope", want: want{http.StatusForbidden, "Bearer insufficient_scope", bearergate.ReasonScope}, listed: true, through: front, make: ofKit("wrong scope")})
	add(kind{name: "unknown kid", want: invalid(bearergate.ReasonUnknownKey), asks: true, through: direct | nginx, make: func(w *world, _ *state) *request {
		return sent(bearergate.SchemeBearer, w.as.Sign(map[string]any{"kid": rand.Text()}, w.as.Claims(read)))
	}})
	add(kind{name: "opaque, unknown", want: invalid(bearergate.ReasonInactive), asks: true, through: direct | nginx, make: func(*world, *state) *request {
		return sent(bearergate.SchemeBearer, "opaque-"+rand.Text())
	}})
	all = append(all, junk()...)
	add(kind{name: "strong login", want: accepted, listed: true, through: direct, make: at("/strong/1", ofKit("strong"))})
	add(kind{name: "weak login", want: refused(bearergate.SchemeBearer, "insufficient_user_authentication", bearergate.ReasonAuthentication), listed: true, through: direct, make: at("/strong/1", ofKit("weak"))})

	// Another issuer, behind the same Router, by a preset.
	add(kind{name: "of a partner", want: accepted, listed: true, through: front, make: func(w *world, _ *state) *request {
		return sent(bearergate.SchemeBearer, w.ofPartner("Bearer", nil, ""))
	}})
	add(kind{name: "ID token of a partner", want: invalid(bearergate.ReasonType), through: front, make: func(w *world, _ *state) *request {
		return sent(bearergate.SchemeBearer, w.ofPartner("ID", nil, ""))
	}})

	add(kind{name: "API key", want: accepted, through: direct, make: func(w *world, _ *state) *request { return apiKey(w.apiKey) }})
	add(kind{name: "API key, mistyped", want: invalid(bearergate.ReasonMalformed), through: direct, make: func(w *world, _ *state) *request { return apiKey(w.apiKey[:len(w.apiKey)-1]) }})
	add(kind{name: "API key of nobody", want: invalid(bearergate.ReasonInactive), through: direct, make: func(w *world, _ *state) *request { return apiKey(w.noKey) }})
	add(kind{name: "token where keys are taken too", want: accepted, listed: true, through: direct, make: at("/keys/1", ofKit("ES256"))})

	for f := range fates {
		asks := f.isOpaque() || f == atOnce
		add(kind{name: "good: " + fateNames[f], want: accepted, asks: asks, listed: true, through: mortals(f), make: func(_ *world, s *state) *request { return ofMortal(s.living[f]) }})
		add(kind{name: "dead: " + fateNames[f], want: invalid((&mortal{fate: f}).refusal()), asks: asks, listed: true, through: mortals(f), make: func(_ *world, s *state) *request { return ofMortal(s.dead[f]) }})
	}
	all = append(all, proofs()...)
	return append(all, bound()...)
}

// mortals come through proxies too, but where the route is not theirs.
func mortals(f fate) way {
	if f == atOnce {
		return direct
	}
	return front
}

// proofs are the kinds of requests with a token that is bound by DPoP.
func proofs() []kind {
	dpop := func(name string, want want, uses bool, change func(w *world, r *request, token string)) kind {
		through := front
		if want == accepted { // over gRPC it is for another method
			through &^= rpc
		}
		return kind{name: name, want: want, listed: true, uses: uses, through: through, make: func(w *world, s *state) *request {
			r := w.proven(s, "/orders/1", nil)
			if change != nil {
				change(w, r, strings.TrimPrefix(r.header.Get("Authorization"), "DPoP "))
			}
			return r
		}}
	}
	with := func(claims map[string]any) func(*world, *request, string) {
		return func(w *world, r *request, token string) {
			r.header.Set("DPoP", w.key.Sign(nil, merged(w.key.Claims(http.MethodGet, base+"/orders/1", token), claims)))
		}
	}
	return []kind{
		dpop("DPoP", accepted, true, nil),
		dpop("DPoP, no proof", proof(bearergate.ReasonProof), false, func(_ *world, r *request, _ string) { r.header.Del("DPoP") }),
		dpop("DPoP, a thief's proof", dpopUnbound, false, func(w *world, r *request, token string) {
			r.header.Set("DPoP", w.thief.Proof(http.MethodGet, base+"/orders/1", token))
		}),
		dpop("DPoP, for another path", proof(bearergate.ReasonProof), false, with(map[string]any{"htu": base + "/orders/2"})),
		dpop("DPoP, for another method", proof(bearergate.ReasonProof), false, with(map[string]any{"htm": http.MethodDelete})),
		dpop("DPoP, for another token", proof(bearergate.ReasonProof), false, with(map[string]any{"ath": rand.Text()})),
		dpop("DPoP, of an hour ago", proof(bearergate.ReasonProof), false, with(map[string]any{"iat": time.Now().Add(-time.Hour).Unix()})),
		dpop("DPoP, sent as Bearer", unbound, false, func(_ *world, r *request, token string) {
			r.scheme = bearergate.SchemeBearer
			r.header.Set("Authorization", "Bearer "+token)
		}),
		{name: again, want: proof(bearergate.ReasonReplay), listed: true, uses: true, through: direct, make: func(w *world, _ *state) *request { return w.used[false].one() }},
		{name: "DPoP over gRPC, the proof once more", want: proof(bearergate.ReasonReplay), listed: true, uses: true, through: rpc, make: func(w *world, _ *state) *request { return w.used[true].one() }},
		{name: "DPoP over gRPC", want: accepted, listed: true, uses: true, through: rpc, make: func(w *world, s *state) *request {
			r := w.proven(s, method, nil)
			r.header.Set("DPoP", w.key.Proof(http.MethodPost, base+method, strings.TrimPrefix(r.header.Get("Authorization"), "DPoP ")))
			return r
		}},
		{name: "DPoP, opaque", want: accepted, asks: true, uses: true, listed: true, through: direct, make: func(w *world, s *state) *request {
			token := one(s.kit.tokens["opaque DPoP"])
			r := sent(bearergate.SchemeDPoP, token)
			r.asks = true
			r.header.Set("DPoP", w.key.Proof(http.MethodGet, base+"/orders/1", token))
			return r
		}},
		{name: "DPoP, with a nonce", want: accepted, listed: true, uses: true, through: direct, make: func(w *world, s *state) *request {
			nonce := w.nonce.Load()
			if nonce == nil {
				return nil
			}
			return w.proven(s, "/nonce/orders/1", map[string]any{"nonce": *nonce})
		}},
		{name: "DPoP, without a nonce", want: wantsNonce, listed: true, through: direct, make: func(w *world, s *state) *request { return w.proven(s, "/nonce/orders/1", nil) }},
		{name: "DPoP, with an invented nonce", want: wantsNonce, listed: true, through: direct, make: func(w *world, s *state) *request {
			return w.proven(s, "/nonce/orders/1", map[string]any{"nonce": rand.Text()})
		}},
		{name: "Bearer where bound ones are demanded", want: unbound, listed: true, through: direct, make: at("/bound/1", ofKit("ES256"))},
	}
}

// proven is a request with a token that is bound by DPoP and its proof, with claims changed.
func (w *world) proven(s *state, path string, change map[string]any) *request {
	token := one(s.kit.tokens["DPoP"])
	r := sent(bearergate.SchemeDPoP, token)
	r.epoch, r.path = s.kit.epoch, path
	r.header.Set("DPoP", w.key.Sign(nil, merged(w.key.Claims(http.MethodGet, base+path, token), change)))
	return r
}

func merged(claims, change map[string]any) map[string]any {
	maps.Copy(claims, change)
	return claims
}

// bound are the kinds of requests with a token that is bound to a certificate.
func bound() []kind {
	certificate := func(name string, want want, c shown, forged bool, through way) kind {
		return kind{name: name, want: want, listed: true, through: through, make: func(w *world, s *state) *request {
			r := bearer(s.kit, "certificate")
			r.shown = c
			if forged {
				der := w.own.Certificate[0]
				r.header.Set("Client-Cert", ":"+base64.StdEncoding.EncodeToString(der)+":")
				r.header.Set("X-Client-Cert", strings.ReplaceAll(url.QueryEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))), "+", "%20"))
			}
			return r
		}}
	}
	return []kind{
		certificate("certificate", accepted, ownCertificate, false, front),
		certificate("certificate, and a forged header", accepted, ownCertificate, true, front),
		certificate("certificate of another", unbound, otherCertificate, false, front),
		certificate("certificate of another, forged header", unbound, otherCertificate, true, front),
		certificate("no certificate", unbound, noCertificate, false, front),
		certificate("no certificate, forged header", unbound, noCertificate, true, front|plain),
	}
}

// junk are the kinds of requests that no client sends.
func junk() []kind {
	both := want{http.StatusBadRequest, "Bearer invalid_request DPoP invalid_request", bearergate.ReasonBadRequest}
	fixed := func(name string, want want, authorization ...string) kind {
		return kind{name: name, want: want, through: direct, make: func(*world, *state) *request {
			return &request{scheme: bearergate.SchemeBearer, header: http.Header{"Authorization": authorization}}
		}}
	}
	return []kind{
		{name: "no token", want: noToken, through: front, make: func(*world, *state) *request { return &request{header: http.Header{}} }},
		fixed("junk: another scheme", noToken, "Basic YWxpY2U6c2VjcmV0"),
		fixed("junk: two tokens", both, "Bearer a.b.c", "Bearer a.b.d"),
		fixed("junk: not a token", want{http.StatusBadRequest, "Bearer invalid_request", bearergate.ReasonBadRequest}, "Bearer a b"),
		// What is no JWT may be an opaque token.
		{name: "junk: three parts of nothing", want: invalid(bearergate.ReasonInactive), asks: true, through: direct, make: func(*world, *state) *request { return sent(bearergate.SchemeBearer, "a.b.c") }},
		fixed("junk: too long", invalid(bearergate.ReasonTooLarge), "Bearer "+strings.Repeat("A", 40<<10)),
	}
}

// sent is a request with a token.
func sent(scheme bearergate.Scheme, token string) *request {
	return &request{scheme: scheme, header: http.Header{"Authorization": {string(scheme) + " " + token}}, user: authtest.DefaultSubject, made: time.Now()}
}

func bearer(k *kit, name string) *request {
	if k == nil {
		return nil
	}
	r := sent(bearergate.SchemeBearer, one(k.tokens[name]))
	r.epoch = k.epoch
	return r
}

func ofKit(name string) func(*world, *state) *request {
	return func(_ *world, s *state) *request { return bearer(s.kit, name) }
}

func at(path string, made func(*world, *state) *request) func(*world, *state) *request {
	return func(w *world, s *state) *request {
		r := made(w, s)
		r.path = path
		return r
	}
}

func ofMortal(some []*mortal) *request {
	if len(some) == 0 {
		return nil
	}
	m := one(some)
	r := sent(bearergate.SchemeBearer, m.token)
	r.mortal, r.epoch, r.path, r.user = m, m.epoch, m.path, m.user
	return r
}

func apiKey(key string) *request {
	return &request{path: "/keys/1", header: http.Header{"X-Api-Key": {key}}, user: oldClient}
}

func one[T any](some []T) T { return some[mathrand.N(len(some))] }
