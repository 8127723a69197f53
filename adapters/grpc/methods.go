package grpcgate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

// Methods of the services that come with gRPC for Go, to be listed by name. An
// orchestrator has no token as a rule, so HealthCheck is often public; the whole
// API is shown by reflection to whoever may ask.
const (
	HealthCheck       = "/grpc.health.v1.Health/Check"
	HealthList        = "/grpc.health.v1.Health/List"
	HealthWatch       = "/grpc.health.v1.Health/Watch"
	ReflectionV1      = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
	ReflectionV1Alpha = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
)

// method is what Config says about a method or, with a name that ends in "/*",
// about a service. It is not changed after New.
type method struct {
	name       string // as listed: a closed set, so fit for a metric label
	public     bool   // the rest is then zero
	verifier   bearergate.Verifier
	stepUp     bearergate.StepUp      // zero: none
	delegation *bearergate.Delegation // nil: none
	need       scope.Requirement
	policies   []func(context.Context, string, *bearergate.Token) error
}

// authorize decides whether a token that is in order suffices for the method.
func (m *method) authorize(t *bearergate.Token) error {
	if err := m.stepUp.Authorize(t, m.need); err != nil {
		return err
	}
	if err := t.Authorize(m.need); err != nil || m.delegation == nil {
		return err
	}
	return m.delegation.Authorize(t)
}

var errPolicy = &bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonPolicy,
	Detail: "a policy of Config.Policies refused the call", Cause: errors.New("grpcgate: Policies")}

// callable reports policies that nobody can ask.
func callable(policies []func(context.Context, string, *bearergate.Token) error) error {
	if len(policies) == 0 || slices.ContainsFunc(policies, func(f func(context.Context, string, *bearergate.Token) error) bool { return f == nil }) {
		return errors.New("there is no policy, or one is nil: pass functions, or take the entry out")
	}
	return nil
}

// allowed asks the policies of the method.
func (m *method) allowed(ctx context.Context, fullMethod string, t *bearergate.Token) error {
	if len(m.policies) == 0 {
		return nil
	}
	return bearergate.GuardWithin(ctx, PolicyTimeout, errPolicy, func(ctx context.Context) error {
		for _, policy := range m.policies {
			if err := policy(ctx, fullMethod, t); err != nil {
				return err
			}
		}
		return nil
	})
}

// unlisted stands for everything that Config does not list.
var unlisted = &method{name: "_OTHER"}

var errUnlisted = misconfigured(errors.New("the method is not listed in Config: list it in Methods, Authenticated or Public"))

// find returns the policy of a method, given as gRPC passes it on: any text that
// a client chose, where grpc.UnknownServiceHandler is set.
func (g *Gate) find(fullMethod string) *method {
	if m, ok := g.methods[fullMethod]; ok {
		return m
	}
	if m, ok := g.methods[fullMethod[:strings.LastIndexByte(fullMethod, '/')+1]]; ok {
		return m
	}
	return unlisted
}

// compile returns the policy of c for tokens that v verifies, the entry for
// "/package.Service/*" under "/package.Service/", and all that is wrong with it.
func compile(v bearergate.Verifier, c Config) (map[string]*method, []error) {
	methods := map[string]*method{}
	var errs []error
	add := func(field string, m method) {
		err := checkName(m.name)
		key := strings.TrimSuffix(m.name, "*")
		if earlier := methods[key]; err == nil && earlier != nil {
			err = errors.New("listed before: list a method once")
		}
		if err == nil && m.public && key != m.name {
			err = errors.New("a service cannot be public as a whole: name each of its methods")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %q: %w", field, m.name, err))
			return
		}
		methods[key] = &m
	}
	for _, name := range slices.Sorted(maps.Keys(c.Methods)) {
		need := c.Methods[name]
		add("Config.Methods", method{name: name, verifier: v, need: need})
		var err error
		switch {
		case need.Err() != nil:
			err = need.Err()
		case len(need.Placeholders()) > 0:
			err = errors.New("a template cannot be filled here, for a method has no path: use All or Any here, and decide about the rest in the handler")
		case need.SatisfiedBy(scope.Set{}):
			err = errors.New("the requirement is zero: use Authenticated for any valid token, or Public for everybody")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("Config.Methods: %q: %w", name, err))
		}
	}
	for _, name := range c.Authenticated {
		add("Config.Authenticated", method{name: name, verifier: v})
	}
	for _, name := range c.Public {
		add("Config.Public", method{name: name, public: true})
	}
	// edit changes the entry of that name, which has to be one that asks for a token.
	edit := func(field, name string, mistake error, change func(*method)) {
		m := methods[strings.TrimSuffix(name, "*")]
		if m == nil || m.name != name || m.public {
			mistake = errors.Join(mistake, errors.New("not listed in Methods or Authenticated by this name: list it there, or take it out here"))
		}
		if mistake != nil {
			errs = append(errs, fmt.Errorf("%s: %q: %w", field, name, mistake))
			return
		}
		change(m)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Via)) {
		via := c.Via[name]
		var mistake error
		if isNil(via) {
			mistake = errors.New("the verifier is nil: pass one, or take the entry out")
		}
		edit("Config.Via", name, mistake, func(m *method) { m.verifier = via })
	}
	for _, name := range slices.Sorted(maps.Keys(c.StepUp)) {
		demand := c.StepUp[name]
		demand.ACR = slices.Clone(demand.ACR)
		edit("Config.StepUp", name, demand.Err(), func(m *method) { m.stepUp = demand })
	}
	for _, name := range slices.Sorted(maps.Keys(c.Delegation)) {
		demand := c.Delegation[name].Clone()
		edit("Config.Delegation", name, demand.Err(), func(m *method) { m.delegation = &demand })
	}
	for _, name := range slices.Sorted(maps.Keys(c.Policies)) {
		policies := slices.Clone(c.Policies[name])
		edit("Config.Policies", name, callable(policies), func(m *method) { m.policies = policies })
	}
	if len(methods) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("no method is listed in Config: set Methods, Authenticated or Public, for without them nothing is ever served"))
	}
	return methods, errs
}

func checkName(name string) error {
	parts := strings.Split(name, "/")
	if len(parts) != 3 || parts[0] != "" || !isWord(parts[1]) || !isWord(parts[2]) {
		return errors.New(`use the full name, "/package.Service/Method", or "/package.Service/*"`)
	}
	if strings.Contains(parts[1], "*") || strings.Contains(parts[2], "*") && parts[2] != "*" {
		return errors.New(`only a whole method can be "*": write "/package.Service/*", or name the method`)
	}
	return nil
}

// isWord reports whether s is printable ASCII without spaces, and not empty.
func isWord(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

// CheckServices returns nil if every method of services, which
// grpc.Server.GetServiceInfo tells, is listed in [Config], and everything that is
// listed exists. Otherwise its error is [bearergate.ErrMisconfigured] and names
// all that differs: a method that nobody can call, a name with a typing error.
//
// Call it when everything is registered, before Serve or in a test. It is not
// for a server with grpc.UnknownServiceHandler, which serves more than it tells.
func (g *Gate) CheckServices(services map[string]grpc.ServiceInfo) error {
	if g == nil || g.methods == nil {
		return errZero
	}
	used := map[*method]bool{}
	var errs []error
	for _, service := range slices.Sorted(maps.Keys(services)) {
		// An entry for the service is in use also if all its methods have their own.
		used[g.methods["/"+service+"/"]] = true
		var names []string
		for _, info := range services[service].Methods {
			names = append(names, "/"+service+"/"+info.Name)
		}
		slices.Sort(names) // gRPC does not
		for _, name := range names {
			m := g.find(name)
			if m == unlisted {
				errs = append(errs, fmt.Errorf("%s is served and not listed in Config, so nobody can call it: list it in Methods, Authenticated or Public", name))
			}
			used[m] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(g.methods)) {
		if m := g.methods[key]; !used[m] {
			errs = append(errs, fmt.Errorf("%s is listed in Config and not served: mend its name, register its service, or take it out", m.name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return misconfigured(err)
	}
	return nil
}
