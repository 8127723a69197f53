package idp

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/jwtverify"
)

// Where are the conditions that a token has to meet, all of them: the path of a claim, as in
// "repository_id" or "kubernetes.io.namespace", and the values of which it must have one.
// Numbers, true and false are compared as text, byte for byte as the token writes them. Of
// an array, one element has to match. A * stands for nothing but itself, and is a mistake.
//
// IDs are better than names: a name can be given up and taken by somebody else.
type Where map[string][]string

// Workload is for the tokens that a platform gives to its jobs and services, which name one
// by their claims. It is for platforms that have no function of their own here. Ask for an
// audience that is this API's alone. At least one condition is required.
//
// Danger: an issuer that serves many customers signs alike for all of them. Name the
// customer or the project, by an ID that is not for others to choose.
func Workload(issuer, audience string, w Where) jwtverify.Config {
	return workload("idp.Workload", issuer, audience, w)
}

// workload is a preset with conditions.
func workload(name, issuer, audience string, w Where) jwtverify.Config {
	p := of(name, issuer, audience)
	p.needs("audience", audience, "the name of this API that the workload asks for")
	conditions := p.conditions(w, customers[strings.TrimSuffix(issuer, "/")])
	return p.with(func(c *claims) error { return c.meets(conditions) })
}

const (
	github    = "https://token.actions.githubusercontent.com"
	gitlab    = "https://gitlab.com"
	buildkite = "https://agent.buildkite.com"
	terraform = "https://app.terraform.io"
)

// customers are, of issuers that strangers have too, the claims that tell one customer from
// another: one of them has to be among the conditions.
var customers = map[string][]string{
	github:                        {"repository_id", "repository_owner_id", "repository", "repository_owner", "enterprise_id", "enterprise", "workflow_ref", "sub"},
	gitlab:                        {"project_id", "namespace_id", "project_path", "namespace_path", "sub"},
	buildkite:                     {"organization_id", "organization_slug", "pipeline_id", "sub"},
	terraform:                     {"terraform_organization_id", "terraform_organization_name", "terraform_project_id", "terraform_workspace_id", "sub"},
	"https://app.eu.terraform.io": {"terraform_organization_id", "terraform_organization_name", "terraform_project_id", "terraform_workspace_id", "sub"},
}

// githubSubjects are how a sub of GitHub begins that says whose it is. Who owns a repository
// can have it begin with something else (a template of sub), and so with what others have.
var githubSubjects = []string{"repo:", "repository:", "repository_id:", "repository_owner:", "repository_owner_id:", "workflow_ref:", "enterprise:", "enterprise_id:"}

// names reports whether a condition tells customers apart.
func (c condition) names(customers []string, issuer string) bool {
	if c.path != "sub" || issuer != github {
		return slices.Contains(customers, c.path)
	}
	return !slices.ContainsFunc(c.accepted, func(sub string) bool {
		return !slices.ContainsFunc(githubSubjects, func(begin string) bool { return strings.HasPrefix(sub, begin) })
	})
}

// condition is one path of a Where.
type condition struct {
	path     string
	accepted []string
}

// conditions are those of w, in order.
func (p *preset) conditions(w Where, shared []string) (out []condition) {
	if len(w) == 0 {
		p.wrong.Addf("Where is empty, and would accept every workload of the issuer: name one by its claims")
		return nil
	}
	for _, path := range slices.Sorted(maps.Keys(w)) {
		if path == "" || strings.Contains(path, "*") {
			p.wrong.Addf("Where: %q is no path of a claim: write the names of members with dots between them", path)
		}
		out = append(out, condition{path, p.list("Where["+path+"]", "the values that are accepted", w[path])})
	}
	if len(shared) > 0 && !slices.ContainsFunc(out, func(c condition) bool { return c.names(shared, strings.TrimSuffix(p.Issuer, "/")) }) {
		p.wrong.Addf("Where does not say whose workloads are meant, and strangers have tokens of this issuer too: name one of %s", strings.Join(shared, ", "))
	}
	return out
}

// meets refuses a token that does not meet all conditions.
func (c *claims) meets(conditions []condition) error {
	for _, cond := range conditions {
		found := c.members.values(cond.path)
		if !slices.ContainsFunc(found, func(one string) bool { return slices.Contains(cond.accepted, one) }) {
			says := "none"
			if len(found) > 0 {
				says = accept.Quoted(found...)
			}
			return c.refuse(bearergate.ReasonPolicy, "the token does not meet Where", cond.path+" "+accept.Quoted(cond.accepted...), says)
		}
	}
	return nil
}

// GitHubActions is for the tokens of jobs of GitHub Actions (permissions: id-token: write).
// Its issuer serves every repository there is, so the conditions have to name yours: by
// repository_id or repository_owner_id, best of all, or by repository, repository_owner,
// enterprise_id, enterprise, workflow_ref or a sub that begins with one of them. ref or
// environment alone are those of strangers as well, and so is job_workflow_ref: it names a
// reusable workflow, which others may call. Whether workflows run for the pull requests of
// strangers, and with which rights, the settings of the repository say. The audience is the
// one that the job asks for: by default, the URL of the repository's owner.
//
// For an enterprise with an issuer of its own, see [Workload].
func GitHubActions(audience string, w Where) jwtverify.Config {
	return workload("idp.GitHubActions", github, audience, w)
}

// GitLabCI is for the ID tokens of jobs of GitLab CI/CD (id_tokens:). issuer is the URL of
// the GitLab, "https://gitlab.com" for example, which serves everybody: the conditions then
// have to name your project_id, namespace_id, project_path, namespace_path or sub. Numbers
// and booleans are strings there: {"ref_protected": {"true"}}.
func GitLabCI(issuer, audience string, w Where) jwtverify.Config {
	return workload("idp.GitLabCI", strings.TrimSuffix(issuer, "/"), audience, w)
}

// Buildkite is for the tokens of Buildkite's jobs (buildkite-agent oidc request-token). Its
// issuer serves every organization, so the conditions have to name yours, or one of its
// pipelines: organization_slug or sub, or organization_id or pipeline_id, which are there
// only if the job asks for them (--claim). A pipeline_slug alone is no name: others have
// pipelines, too. The audience is the one that the job asks for.
func Buildkite(audience string, w Where) jwtverify.Config {
	return workload("idp.Buildkite", buildkite, audience, w)
}

// HCPTerraform is for the workload identity tokens of HCP Terraform's runs. Its issuer
// serves every organization, so the conditions have to name yours, or one of its projects or
// workspaces: terraform_organization_id, terraform_organization_name, terraform_project_id,
// terraform_workspace_id or sub. Names of workspaces alone are those of strangers as well.
// In Europe, set Issuer of the Config to https://app.eu.terraform.io.
func HCPTerraform(audience string, w Where) jwtverify.Config {
	return workload("idp.HCPTerraform", terraform, audience, w)
}

// Kubernetes is for the tokens of a cluster's service accounts that are bound to an audience
// (TokenRequest, projected volumes). issuer is that of the cluster (--service-account-issuer),
// and the conditions name the account: {"sub": {"system:serviceaccount:shop:orders"}}, or
// kubernetes.io.namespace and kubernetes.io.serviceaccount.name, or kubernetes.io.serviceaccount.uid.
// The name alone is no name: whoever may create a service account in another namespace can
// give it that. It refuses subjects that are no service account. The audience of the cluster's
// own API server is a mistake: every pod has such a token, and one that is sent here would be
// good there. Tokens of the legacy kind, without aud and exp, are refused by every
// configuration.
//
// A cluster shows its keys to those with a token and its CA alone, unless the role
// system:service-account-issuer-discovery is bound to all: set HTTPClient of the Config.
func Kubernetes(issuer, audience string, w Where) jwtverify.Config {
	p := of("idp.Kubernetes", issuer, audience)
	p.needs("audience", audience, "the name of this API that the pod asks for")
	if audience == issuer || strings.HasPrefix(audience, "https://kubernetes.default.svc") {
		p.wrong.Addf("audience is %q, that of the cluster's own API server: have the pods ask for a name of this API (a projected volume with an audience)", audience)
	}
	conditions := p.conditions(w, []string{"sub", "kubernetes.io.namespace", "kubernetes.io.serviceaccount.uid"})
	return p.with(func(c *claims) error {
		c.Tenant = c.members.in("kubernetes.io").text("namespace")
		if !strings.HasPrefix(c.Subject, "system:serviceaccount:") {
			return c.refuse(bearergate.ReasonPolicy, "the subject is no service account", `"system:serviceaccount:…"`, accept.Quoted(c.Subject))
		}
		return c.meets(conditions)
	})
}

var trustDomainForm = regexp.MustCompile(`^spiffe://[a-z0-9._-]+$`)

// SPIFFE is for JWT-SVIDs. ids are the SPIFFE IDs that may call, with or without
// "spiffe://" and the trust domain before their path, compared exactly.
//
// issuer is the iss of the SVIDs (jwt_issuer of SPIRE, whose OIDC discovery provider shows
// the keys); SVIDs without iss are then refused. For keys from a bundle, set Keys of the
// Config to a jwks.Cache with AllowUses: []string{"jwt-svid"}.
//
// issuer may be empty, for SPIFFE does not ask for iss. Keys have to be set then, and to be
// those of this trust domain alone: whoever signs with them is the trust domain, and
// "spiffe://example.org" is Issuer of the Config and of the token. SVIDs with an iss are
// refused, but for IssuerAliases: name the issuer there before SPIRE begins to write it.
// The Router of package issuers chooses by iss, and refuses a token without it.
func SPIFFE(trustDomain, issuer, audience string, ids ...string) jwtverify.Config {
	domain := "spiffe://" + strings.TrimPrefix(trustDomain, "spiffe://")
	p := of("idp.SPIFFE", cmp.Or(issuer, domain), audience)
	if issuer == "" {
		p.KeysOf = domain
	}
	p.needs("audience", audience, "the name of this API that the workload asks for")
	p.AllowTypes = []string{"JOSE"}
	if !trustDomainForm.MatchString(domain) {
		p.wrong.Addf("trustDomain is %q: give its name alone, in lower case", trustDomain)
	}
	accepted := p.list("ids", "the SPIFFE IDs that may call", ids)
	for i, id := range accepted {
		if !strings.HasPrefix(id, "spiffe://") {
			accepted[i] = domain + "/" + strings.TrimPrefix(id, "/")
		}
		if path, ours := strings.CutPrefix(accepted[i], domain+"/"); !ours || path == "" {
			p.wrong.Addf("ids: %q is no ID of the trust domain %s", id, domain)
		}
	}
	return p.with(func(c *claims) error {
		if slices.Contains(accepted, c.Subject) {
			return nil
		}
		return c.refuse(bearergate.ReasonPolicy, "the SPIFFE ID is not on the list", accept.Quoted(accepted...), accept.Quoted(c.Subject))
	})
}
