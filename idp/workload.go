package idp

import (
	"maps"
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

// workload is a preset with conditions. shared are claims that tell one customer of a shared
// issuer from another: one of them has to be among the conditions.
func workload(name, issuer, audience string, w Where, shared ...string) jwtverify.Config {
	p := of(name, issuer, audience)
	p.needs("audience", audience, "the name of this API that the workload asks for")
	conditions := p.conditions(w, shared)
	return p.with(func(c *claims) error { return c.meets(conditions) })
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
	if len(shared) > 0 && !slices.ContainsFunc(shared, func(path string) bool { return w[path] != nil }) {
		p.wrong.Addf("Where does not say whose workloads are meant, and strangers have this issuer too: name one of %s", strings.Join(shared, ", "))
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
// enterprise_id, enterprise, sub or workflow_ref. ref or environment alone are those of
// strangers as well, and so is job_workflow_ref: it names a reusable workflow, which others
// may call. A pull request from a fork gets no token of yours. The audience is the one that
// the job asks for: by default, the URL of the repository's owner.
//
// For an enterprise with an issuer of its own, see [Workload].
func GitHubActions(audience string, w Where) jwtverify.Config {
	return workload("idp.GitHubActions", "https://token.actions.githubusercontent.com", audience, w,
		"repository_id", "repository_owner_id", "repository", "repository_owner", "enterprise_id", "enterprise", "sub", "workflow_ref")
}

// GitLabCI is for the ID tokens of jobs of GitLab CI/CD (id_tokens:). issuer is the URL of
// the GitLab, "https://gitlab.com" for example, which serves everybody: the conditions then
// have to name your project_id, namespace_id, project_path, namespace_path or sub. Numbers
// and booleans are strings there: {"ref_protected": {"true"}}.
func GitLabCI(issuer, audience string, w Where) jwtverify.Config {
	if strings.TrimSuffix(issuer, "/") == "https://gitlab.com" {
		return workload("idp.GitLabCI", "https://gitlab.com", audience, w, "project_id", "namespace_id", "project_path", "namespace_path", "sub")
	}
	return workload("idp.GitLabCI", issuer, audience, w)
}

// Buildkite is for the tokens of Buildkite's jobs (buildkite-agent oidc request-token). Its
// issuer serves every organization, so the conditions have to name yours, or one of its
// pipelines: organization_id, organization_slug, pipeline_id or sub. A pipeline_slug alone
// is no name: others have pipelines, too. The audience is the one that the job asks for.
func Buildkite(audience string, w Where) jwtverify.Config {
	return workload("idp.Buildkite", "https://agent.buildkite.com", audience, w, "organization_id", "organization_slug", "pipeline_id", "sub")
}

// HCPTerraform is for the workload identity tokens of HCP Terraform's runs. Its issuer
// serves every organization, so the conditions have to name yours, or one of its projects or
// workspaces: terraform_organization_id, terraform_organization_name, terraform_project_id,
// terraform_workspace_id or sub. Names of workspaces alone are those of strangers as well.
func HCPTerraform(audience string, w Where) jwtverify.Config {
	return workload("idp.HCPTerraform", "https://app.terraform.io", audience, w,
		"terraform_organization_id", "terraform_organization_name", "terraform_project_id", "terraform_workspace_id", "sub")
}

// Kubernetes is for the tokens of a cluster's service accounts that are bound to an audience
// (TokenRequest, projected volumes). issuer is that of the cluster (--service-account-issuer),
// and the conditions name the account: {"sub": {"system:serviceaccount:shop:orders"}}, or
// kubernetes.io.namespace and kubernetes.io.serviceaccount.name or .uid. It refuses subjects
// that are no service account. Tokens of the legacy kind, without aud and exp, are refused
// by every configuration.
//
// A cluster shows its keys to those with a token and its CA alone, unless the role
// system:service-account-issuer-discovery is bound to all: set HTTPClient of the Config.
func Kubernetes(issuer, audience string, w Where) jwtverify.Config {
	p := of("idp.Kubernetes", issuer, audience)
	p.needs("audience", audience, "the name of this API that the pod asks for")
	conditions := p.conditions(w, nil)
	return p.with(func(c *claims) error {
		c.Tenant = c.members.in("kubernetes.io").text("namespace")
		if !strings.HasPrefix(c.Subject, "system:serviceaccount:") {
			return c.refuse(bearergate.ReasonPolicy, "the subject is no service account", `"system:serviceaccount:…"`, accept.Quoted(c.Subject))
		}
		return c.meets(conditions)
	})
}

// SPIFFE is for JWT-SVIDs whose trust domain has an issuer (jwt_issuer of SPIRE, whose
// OIDC discovery provider shows the keys). ids are the SPIFFE IDs that may call, with or
// without "spiffe://" and the trust domain before their path, compared exactly. SVIDs
// without iss are refused. For keys from a bundle, set Keys of the Config to a jwks.Cache
// with AllowUses.
func SPIFFE(trustDomain, issuer, audience string, ids ...string) jwtverify.Config {
	p := of("idp.SPIFFE", issuer, audience)
	p.needs("audience", audience, "the name of this API that the workload asks for")
	p.AllowTypes = []string{"JOSE"}
	domain := "spiffe://" + p.host("trustDomain", strings.TrimPrefix(trustDomain, "spiffe://"))
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
