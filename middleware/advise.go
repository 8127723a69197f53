package middleware

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/bearergate/bearergate"
)

// Told is a request as a proxy tells of it, for [Advisor.Advise].
type Told struct {
	// Method, Host and URI are those of the client's request as it was sent and as the
	// service will see it; URI is the path with its query. All are required: a request
	// without one of them is refused with 400.
	//
	// Danger: whoever fills these in from what a client can send beside the request line and
	// Host lets clients choose the route.
	Method, Host, URI string
	// Header is what the client sent, under names as Go writes them
	// ([http.CanonicalHeaderKey]). It is not changed.
	Header http.Header
	// Peer is who is connected to the proxy: the client, or another proxy in front. Header
	// fields that only a trusted peer may set ([Config.ClientAddress], Forwarded of
	// binding/mtls) count by it. The zero value means that nobody knows.
	Peer netip.AddrPort
	// Certificate is the client certificate of that peer's connection to the proxy, for
	// [bearergate.Call.Certificate]. The proxy MUST have checked that the peer has its key,
	// and MUST tell it apart from every header. nil: there is none.
	Certificate *x509.Certificate
}

// Advice is what an [Advisor] says about a request.
type Advice struct {
	// Decision is what was decided, for logs and metadata; a request that could not be
	// decided on has its error there.
	Decision Decision
	// Status is 200 if the proxy is to pass the request on, and nothing else of the kind 2xx
	// is ever here. Any other is that of the answer to the client.
	Status int
	// Header is for the client: that of the refusal, or what the Bindings reply, such as
	// DPoP-Nonce, beside what the service answers.
	Header http.Header
	// Body is that of the refusal; nil if there is none, and for HEAD.
	Body []byte
	// Set are the headers that the request is to get, by name, in the place of all of the
	// same name. None is empty. nil unless Status is 200.
	Set map[string]string
	// Remove are the headers that the request must lose, in small letters and in order: what
	// could pass for a header of [Config.Identity], whether it was sent or not; what makes a
	// service see another request, as [Backend] says, except for the fields of the
	// connection, which are the proxy's; Connection all the same, where it lists a header of
	// Config.Identity, for the next recipient removes those; Forwarded and X-Forwarded-Host,
	// which a client may have sent; Authorization and [Config.ExtractHeaders], if
	// [Config.DropAuthorization] says so. No name of Set is among them. nil unless Status is 200.
	Remove []string
}

// Advisor makes the decisions of a [Router] for a proxy that asks in another way than by an
// HTTP request: Envoy, in adapters/extauthz. Make it with [Router.Advisor]. It is safe for
// concurrent use. A nil or zero Advisor advises to answer everything with 500.
type Advisor struct{ teller teller }

// Advisor returns the Advisor of the router. By the rules of [Router.ForwardAuth], its error
// is [bearergate.ErrMisconfigured] and names every mistake at once: those of Handler, a
// Binding that reads the certificate of the connection, routes with [Recheck] or
// [CancelOnExpiry], a header of Config.Identity that has a meaning in the answer. After it,
// as after Handler, nothing can be registered.
func (rt *Router) Advisor() (*Advisor, error) {
	_, err := rt.assembled()
	errs := []error{err}
	if rt != nil && rt.gate != nil {
		errs = append(errs, rt.gate.cannotForward("Advisor", OriginalHeaders{}), rt.cannotEnd("Advisor"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, misconfigured(err)
	}
	return &Advisor{teller{rt}}, nil
}

// Advise decides about a request that a proxy tells of, by the rules of [Router.ForwardAuth]:
// the same paths, methods and hosts are refused, and the answers are those that Handler would
// write. It never waits longer than ctx; a ctx that ends first makes 503. A panic of whatever
// it calls makes 500.
//
// As with Decide, to ask is to use up.
func (a *Advisor) Advise(ctx context.Context, t Told) (advice Advice) {
	return a.guard(ctx, func(w *recorder) *question {
		asked, err := t.request(ctx)
		if err != nil {
			// Without its parts, and without what could not be read.
			plain := (&http.Request{Method: http.MethodGet, Header: t.Header, RemoteAddr: remoteAddr(t.Peer)}).WithContext(ctx)
			a.teller.tell(plain, err)
			a.teller.refuseQuestion(w, plain, err)
			return &question{decision: Decision{Err: err}}
		}
		q := a.teller.answer(w, asked)
		if w.status == http.StatusOK {
			w.remove = a.teller.router.gate.toRemove(q, t.Header)
			w.set = maps.Clone(q.identity)
			maps.DeleteFunc(w.set, func(_, value string) bool { return value == "" })
			for name := range q.identity { // what is for the service is not for the client
				delete(w.header, name)
			}
			delete(w.header, "Cache-Control") // of the answer to a question by HTTP
			reply(w, q.decision.Reply)
		}
		return q
	})
}

// Refuse is the Advice for a question that tells of no request, or that somebody asked who may
// not: err is told to [Hooks.Decided] and answered as the gate would. from is who sent what is
// refused, for the event: the peer of the proxy, or whoever asked without leave; the zero value
// means that nobody knows.
func (a *Advisor) Refuse(ctx context.Context, from netip.AddrPort, err error) Advice {
	return a.guard(ctx, func(w *recorder) *question {
		e := bearergate.AsError(cmp.Or(err, errUnadvised))
		plain := (&http.Request{Method: http.MethodGet, Header: http.Header{}, RemoteAddr: remoteAddr(from)}).WithContext(ctx)
		a.teller.tell(plain, e)
		a.teller.refuseQuestion(w, plain, e)
		return &question{decision: Decision{Err: e}}
	})
}

// guard makes advice of what f writes, whatever f does.
func (a *Advisor) guard(ctx context.Context, f func(*recorder) *question) Advice {
	w := &recorder{header: http.Header{}}
	q := &question{}
	err := errUnadvised
	if a != nil && a.teller.router != nil {
		err = bearergate.Guard(ctx, errUnadvised, func(context.Context) error {
			q = f(w)
			return nil
		})
	}
	if err == nil && w.status == 0 { // the proxy gave up; whoever reads this all the same is not let in
		err = cmp.Or(q.decision.Err, errUnadvised)
	}
	if err != nil {
		w = &recorder{header: http.Header{}}
		q.decision.Err, q.decision.Token = err, nil
		plain := (&http.Request{Method: http.MethodGet, Header: http.Header{}}).WithContext(context.WithoutCancel(ctx))
		var gate *Gate // its fixed words, for Render could be what failed
		gate.refuse(w, plain, &decision{err: err})
	}
	return Advice{Decision: q.decision, Status: w.status, Header: w.header, Body: w.body.Bytes(), Set: w.set, Remove: w.remove}
}

var errUnadvised = misconfigured(errors.New("Advisor: make it with Router.Advisor"))

// request is the one that the proxy tells of.
func (t Told) request(ctx context.Context) (*http.Request, error) {
	for _, part := range []struct {
		name, value string
		most        int
	}{{"method", t.Method, maxOriginalMethodBytes}, {"host", t.Host, maxOriginalHostBytes}, {"path", t.URI, MaxOriginalURIBytes}} {
		if len(part.value) > part.most {
			return nil, untellable(part.name, "it is too long")
		}
	}
	u, part, err := originalTarget(t.Method, t.Host, t.URI)
	if err != nil {
		return nil, untellable(part, err.Error())
	}
	// nil too: ctx may be that of another request, which had one.
	ctx = context.WithValue(ctx, toldCertificate{}, t.Certificate)
	header := t.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	return (&http.Request{
		Method: t.Method, URL: u, RequestURI: t.URI, Host: t.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: http.NoBody, RemoteAddr: remoteAddr(t.Peer),
	}).WithContext(ctx), nil
}

func untellable(part, what string) error {
	return &bearergate.Error{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonBadRequest,
		Detail: fmt.Sprintf("the %s of the request that the proxy tells of: %s", part, what)}
}

// remoteAddr is "" for nobody, which no Binding takes for a proxy.
func remoteAddr(peer netip.AddrPort) string {
	if !peer.IsValid() {
		return ""
	}
	return peer.String()
}

// toRemove lists what the request must lose before the service gets it.
func (g *Gate) toRemove(q *question, header http.Header) []string {
	gates := append([]*Gate{g}, q.gates...)
	names := []string{"forwarded", "x-forwarded-host"}
	// A proxy may be set to tell a part of the header only. So the two usual spellings go,
	// whether they were told or not.
	both := func(name string) {
		names = append(names, strings.ToLower(name), strings.ToLower(strings.ReplaceAll(name, "-", "_")))
	}
	for _, gate := range gates {
		if gate.config.DropAuthorization {
			names = append(names, "authorization")
			for _, name := range gate.config.ExtractHeaders {
				both(name)
			}
		}
	}
	for name := range q.identity {
		both(name)
	}
	for name := range header {
		goes := func(gate *Gate) bool { return gate.isIdentity(name) || gate.isDropped(name) }
		if isOverride(name) || slices.ContainsFunc(gates, goes) {
			names = append(names, strings.ToLower(name))
		}
	}
	// What Connection lists, the next recipient removes, and Envoy passes it on with a request
	// that asks for an upgrade.
	for option := range strings.SplitSeq(strings.Join(header["Connection"], ","), ",") {
		if slices.ContainsFunc(gates, func(gate *Gate) bool { return gate.isIdentity(strings.TrimSpace(option)) }) {
			names = append(names, "connection")
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return q.identity[http.CanonicalHeaderKey(name)] != "" })
	slices.Sort(names)
	return slices.Compact(names)
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
	set    map[string]string
	remove []string
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) { w.status = status }

func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }
