package zoo_test

import (
	"slices"
	"strings"

	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/jwtverify"
)

// Tokens that a platform gives to its jobs and services. The audience of this API is
// https://orders.example.test.
const jobAudience = "https://orders.example.test"

// byHandFor is what one writes by hand for a workload: issuer and audience.
func byHandFor(issuer string) jwtverify.Config {
	return jwtverify.Config{Issuer: issuer, Audiences: []string{jobAudience}}
}

func workloads() []*provider {
	return slices.Concat([]*provider{github(), gitlab(), buildkite(), terraform(), kubernetes()}, spiffe(), []*provider{circle()})
}

func github() *provider {
	const (
		job = `{"jti":"job-1","sub":"repo:example/shop:environment:production","environment":"production","aud":"https://orders.example.test","ref":"refs/heads/main","sha":"0123456789abcdef0123456789abcdef01234567",
			"repository":"example/shop","repository_owner":"example","repository_visibility":"private","repository_id":"700007","repository_owner_id":"65","run_id":"900001","run_number":"10","run_attempt":"2",
			"runner_environment":"github-hosted","actor_id":"12","actor":"ada","workflow":"deploy","workflow_ref":"example/shop/.github/workflows/deploy.yml@refs/heads/main","head_ref":"","base_ref":"",
			"event_name":"push","ref_type":"branch","ref_protected":"true","job_workflow_ref":"example/flows/.github/workflows/deploy.yml@refs/heads/main",
			"iss":"https://token.actions.githubusercontent.com","nbf":1772365800,"exp":1772366700,"iat":1772366400}`
		of = "https://token.actions.githubusercontent.com"
	)
	return &provider{
		name: "GitHub Actions", function: "GitHubActions",
		preset:   idp.GitHubActions(jobAudience, idp.Where{"repository_id": {"700007"}, "ref": {"refs/heads/main", "refs/heads/release"}}),
		plain:    byHandFor(of),
		metadata: of + "/.well-known/openid-configuration", absent: of + "/.well-known/oauth-authorization-server", keys: of + "/.well-known/jwks",
		published: published{alg: "RS256", header: m{"typ": "JWT", "x5t": "gh1"}, jwks: []m{{"kid": "gh1", "x5t": "gh1", "use": "sig", "alg": "RS256"}}},
		essential: func(c m) bool {
			return means(c, "repository_id", "700007") && means(c, "ref", "refs/heads/main", "refs/heads/release")
		},
		rows: []row{
			{kind: "of a job of the repository", claims: job},
			{kind: "of a job of the repository, another branch of the list, without environment", claims: job, with: m{"ref": "refs/heads/release", "sub": "repo:example/shop:ref:refs/heads/release", "environment": absent}},
			{kind: "of a stranger's repository, the same branch", claims: job, with: m{"repository": "evil/shop", "repository_owner": "evil", "repository_id": "666", "repository_owner_id": "66", "sub": "repo:evil/shop:environment:production"}, want: policy},
			{kind: "of a stranger who calls our reusable workflow", claims: job, with: m{"repository": "evil/tools", "repository_id": "667", "repository_owner_id": "66", "workflow_ref": "evil/tools/.github/workflows/x.yml@refs/heads/main"}, want: policy},
			{kind: "of a repository that has the name now", claims: job, with: m{"repository_id": "888888", "repository_owner_id": "99"}, want: policy},
			{kind: "of a pull request", claims: job, with: m{"ref": "refs/pull/7/merge", "sub": "repo:example/shop:pull_request", "event_name": "pull_request", "head_ref": "fix", "base_ref": "main"}, want: policy},
			{kind: "of another branch", claims: job, with: m{"ref": "refs/heads/main2"}, want: policy},
			{kind: "without repository_id", made: true, claims: job, with: m{"repository_id": absent}, want: policy},
			{kind: "for the default audience", claims: job, with: m{"aud": "https://github.com/example"}, want: audience},
			{kind: "for a cloud", claims: job, with: m{"aud": "sts.amazonaws.com"}, want: audience},
			{kind: "of an enterprise with an issuer of its own", claims: job, with: m{"iss": of + "/evil-corp"}, want: issuer},
		},
	}
}

func gitlab() *provider {
	const job = `{"namespace_id":"72","namespace_path":"example","project_id":"20","project_path":"example/shop","user_id":"1","user_login":"ada","user_email":"ada@example.test","user_access_level":"maintainer",
		"pipeline_id":"574","pipeline_source":"push","job_id":"302","ref":"main","ref_type":"branch","ref_path":"refs/heads/main","ref_protected":"true","runner_environment":"gitlab-hosted",
		"environment":"production","environment_protected":"true","sha":"714a629c0b401fdce83e847fc9589983fc6f46bc","jti":"job-2","iss":"https://gitlab.com","iat":1772366400,"nbf":1772366395,
		"exp":1772370000,"sub":"project_path:example/shop:ref_type:branch:ref:main","aud":"https://orders.example.test"}`
	return &provider{
		name: "GitLab CI/CD", function: "GitLabCI",
		preset:   idp.GitLabCI("https://gitlab.com", jobAudience, idp.Where{"project_id": {"20"}, "ref_protected": {"true"}}),
		plain:    byHandFor("https://gitlab.com"),
		metadata: "https://gitlab.com/.well-known/openid-configuration", absent: "https://gitlab.com/.well-known/oauth-authorization-server", keys: "https://gitlab.com/oauth/discovery/keys",
		published: published{alg: "RS256", header: m{"typ": "JWT"}, jwks: []m{{"kid": "gl1", "use": "sig", "alg": "RS256"}}},
		essential: func(c m) bool { return means(c, "project_id", "20") && means(c, "ref_protected", "true") },
		rows: []row{
			{kind: "of a job of the project", claims: job},
			{kind: "of a job of the project, booleans that are booleans", made: true, claims: job, with: m{"ref_protected": true}},
			{kind: "of a stranger's project", claims: job, with: m{"project_id": "666", "project_path": "evil/shop", "namespace_id": "66", "namespace_path": "evil", "sub": "project_path:evil/shop:ref_type:branch:ref:main"}, want: policy},
			{kind: "of a project that has the path now", claims: job, with: m{"project_id": "667"}, want: policy},
			{kind: "of a branch that is not protected", claims: job, with: m{"ref": "try", "ref_path": "refs/heads/try", "ref_protected": "false"}, want: policy},
			{kind: "without ref_protected", made: true, claims: job, with: m{"ref_protected": absent}, want: policy},
			{kind: "for Vault", claims: job, with: m{"aud": "https://vault.example.test"}, want: audience},
			{kind: "the old CI_JOB_JWT", claims: job, with: m{"iss": "gitlab.com", "aud": absent}, want: issuer},
			{kind: "of another GitLab", claims: job, with: m{"iss": "https://gitlab.example.test"}, want: issuer},
		},
	}
}

func buildkite() *provider {
	const (
		job = `{"iss":"https://agent.buildkite.com","sub":"organization:example:pipeline:shop:ref:refs/heads/main:commit:9f3182061f1e2cca4702c368cbc039b7dc9d4485:step:deploy",
			"aud":"https://orders.example.test","iat":1772366400,"nbf":1772366400,"exp":1772366700,"organization_slug":"example","pipeline_slug":"shop","build_number":1,"build_branch":"main","build_tag":null,
			"build_commit":"9f3182061f1e2cca4702c368cbc039b7dc9d4485","step_key":"deploy","job_id":"0184990a-477b-4fa8-9968-496074483cee","agent_id":"0184990a-4782-42b5-afc1-16715b10b8ff",
			"organization_id":"0184990a-477b-4fa8-9968-496074483k77","pipeline_id":"0184990a-4782-42b5-afc1-16715b10b1l0","build_source":"ui","runner_environment":"buildkite-hosted"}`
		of, organization = "https://agent.buildkite.com", "0184990a-477b-4fa8-9968-496074483k77"
	)
	return &provider{
		name: "Buildkite", function: "Buildkite",
		preset:   idp.Buildkite(jobAudience, idp.Where{"organization_id": {organization}, "pipeline_slug": {"shop"}, "build_branch": {"main"}}),
		plain:    byHandFor(of),
		metadata: of + "/.well-known/openid-configuration", absent: of + "/.well-known/oauth-authorization-server", keys: of + "/.well-known/jwks",
		published: published{alg: "RS256", header: m{"typ": "JWT"}, jwks: one("bk1")},
		essential: func(c m) bool {
			return means(c, "organization_id", organization) && means(c, "pipeline_slug", "shop") && means(c, "build_branch", "main")
		},
		rows: []row{
			{kind: "of a job of the pipeline", claims: job},
			{kind: "of a stranger's pipeline of that name", claims: job, with: m{"organization_slug": "evil", "organization_id": "0184990a-0000-4fa8-9968-496074483666", "pipeline_id": "0184990a-0000-42b5-afc1-16715b10b666"}, want: policy},
			{kind: "of another pipeline", claims: job, with: m{"pipeline_slug": "website"}, want: policy},
			{kind: "of another branch", claims: job, with: m{"build_branch": "try"}, want: policy},
			{kind: "of a branch that is null", made: true, claims: job, with: m{"build_branch": nil}, want: policy},
			{kind: "for the default audience", claims: job, with: m{"aud": "https://buildkite.com/example"}, want: audience},
		},
	}
}

func terraform() *provider {
	const (
		run = `{"jti":"run-1","iss":"https://app.terraform.io","aud":"https://orders.example.test","iat":1772366400,"nbf":1772366395,"exp":1772373600,
			"sub":"organization:example:project:shop:workspace:shop-prod:run_phase:apply","terraform_organization_id":"org-GRNbCjYNpBB6NEBH","terraform_organization_name":"example",
			"terraform_project_id":"prj-vegSA59s1XPwMr2t","terraform_project_name":"shop","terraform_workspace_id":"ws-mbsd5E3Ktt5Rg2Xm","terraform_workspace_name":"shop-prod",
			"terraform_full_workspace":"organization:example:project:shop:workspace:shop-prod","terraform_run_id":"run-X3n1AUXNGWbfECsJ","terraform_run_phase":"apply"}`
		of = "https://app.terraform.io"
	)
	return &provider{
		name: "HCP Terraform", function: "HCPTerraform",
		preset:   idp.HCPTerraform(jobAudience, idp.Where{"terraform_workspace_id": {"ws-mbsd5E3Ktt5Rg2Xm"}, "terraform_run_phase": {"apply"}}),
		plain:    byHandFor(of),
		metadata: of + "/.well-known/openid-configuration", absent: of + "/.well-known/oauth-authorization-server", keys: of + "/.well-known/jwks",
		published: published{alg: "RS256", header: m{"typ": "JWT"}, jwks: one("tf1")},
		essential: func(c m) bool {
			return means(c, "terraform_workspace_id", "ws-mbsd5E3Ktt5Rg2Xm") && means(c, "terraform_run_phase", "apply")
		},
		rows: []row{
			{kind: "of a run of the workspace", claims: run},
			{kind: "of a stranger's workspace of that name", claims: run, with: m{"terraform_organization_id": "org-666", "terraform_organization_name": "evil", "terraform_workspace_id": "ws-666", "sub": "organization:evil:project:shop:workspace:shop-prod:run_phase:apply"}, want: policy},
			{kind: "of the plan of a run", claims: run, with: m{"terraform_run_phase": "plan", "sub": "organization:example:project:shop:workspace:shop-prod:run_phase:plan"}, want: policy},
			{kind: "without a workspace", made: true, claims: run, with: m{"terraform_workspace_id": absent}, want: policy},
			{kind: "for a cloud", claims: run, with: m{"aud": "aws.workload.identity"}, want: audience},
		},
	}
}

func kubernetes() *provider {
	const (
		pod = `{"aud":["https://orders.example.test"],"exp":1772370007,"iat":1772366400,"iss":"https://k8s.example.test","jti":"pod-1",
			"kubernetes.io":{"namespace":"shop","node":{"name":"node-1","uid":"0d0d0d0d-1111-4111-8111-111111111111"},"pod":{"name":"reports-7c9","uid":"0e0e0e0e-1111-4111-8111-111111111111"},
			"serviceaccount":{"name":"reports","uid":"0f0f0f0f-1111-4111-8111-111111111111"},"warnafter":1772370007},"nbf":1772366400,"sub":"system:serviceaccount:shop:reports"}`
		legacy = `{"iss":"kubernetes/serviceaccount","kubernetes.io/serviceaccount/namespace":"shop","kubernetes.io/serviceaccount/secret.name":"reports-token-abcde",
			"kubernetes.io/serviceaccount/service-account.name":"reports","kubernetes.io/serviceaccount/service-account.uid":"0f0f0f0f-1111-4111-8111-111111111111","sub":"system:serviceaccount:shop:reports"}`
		of = "https://k8s.example.test"
	)
	account := func(namespace, name string) m {
		return m{"namespace": namespace, "serviceaccount": m{"name": name, "uid": "1f1f1f1f-1111-4111-8111-111111111111"}}
	}
	return &provider{
		name: "Kubernetes", function: "Kubernetes",
		preset:   idp.Kubernetes(of, jobAudience, idp.Where{"kubernetes.io.namespace": {"shop"}, "kubernetes.io.serviceaccount.name": {"reports", "mailer"}}),
		plain:    byHandFor(of),
		metadata: of + "/.well-known/openid-configuration", absent: of + "/.well-known/oauth-authorization-server", keys: of + "/openid/v1/jwks",
		published: published{alg: "RS256", jwks: []m{{"kid": "k8s", "use": "sig", "alg": "RS256"}}},
		essential: func(c m) bool {
			return strings.HasPrefix(text(c, "sub"), "system:serviceaccount:") &&
				means(c, "kubernetes.io.namespace", "shop") && means(c, "kubernetes.io.serviceaccount.name", "reports", "mailer")
		},
		rows: []row{
			{kind: "of a pod of the account", claims: pod, tenant: "shop"},
			{kind: "of a second account on the list, without a pod", claims: pod, with: m{"kubernetes.io": account("shop", "mailer"), "sub": "system:serviceaccount:shop:mailer"}, tenant: "shop"},
			{kind: "of another account of the namespace", claims: pod, with: m{"kubernetes.io": account("shop", "default"), "sub": "system:serviceaccount:shop:default"}, want: policy},
			{kind: "of an account of that name in another namespace", claims: pod, with: m{"kubernetes.io": account("playground", "reports"), "sub": "system:serviceaccount:playground:reports"}, want: policy},
			{kind: "whose sub is no service account", made: true, claims: pod, with: m{"sub": "system:node:node-1"}, want: policy},
			{kind: "without kubernetes.io", made: true, claims: pod, with: m{"kubernetes.io": absent}, want: policy},
			{kind: "for the cluster's own API", claims: pod, with: m{"aud": []string{"https://kubernetes.default.svc.cluster.local"}}, want: audience},
			{kind: "of the legacy kind, from a Secret", claims: legacy, want: issuer},
			{kind: "of another cluster", claims: pod, with: m{"iss": "https://staging-k8s.example.test"}, want: issuer},
		},
	}
}

func spiffe() []*provider {
	const (
		svid = `{"aud":["https://orders.example.test"],"exp":1772366700,"iat":1772366400,"iss":"https://spire.example.test","sub":"spiffe://example.test/ns/shop/sa/reports"}`
		of   = "https://spire.example.test"
	)
	plain := byHandFor(of)
	plain.AllowTypes = []string{"JOSE"}
	return []*provider{{
		name: "SPIFFE", function: "SPIFFE",
		preset:   idp.SPIFFE("example.test", of, jobAudience, "spiffe://example.test/ns/shop/sa/reports", "/ns/shop/sa/mailer"),
		plain:    plain,
		metadata: of + "/.well-known/openid-configuration", absent: of + "/.well-known/oauth-authorization-server", keys: of + "/keys",
		published: published{alg: "ES256", header: m{"typ": "JWT"}, jwks: []m{{"kid": "svid", "alg": "ES256"}}},
		essential: func(c m) bool {
			return slices.Contains([]string{"spiffe://example.test/ns/shop/sa/reports", "spiffe://example.test/ns/shop/sa/mailer"}, text(c, "sub"))
		},
		rows: []row{
			{kind: "of a workload on the list", claims: svid},
			{kind: "of a workload on the list, typ JOSE", claims: svid, header: m{"typ": "JOSE"}},
			{kind: "of a second workload, without typ", claims: svid, with: m{"sub": "spiffe://example.test/ns/shop/sa/mailer"}, header: m{"typ": absent}},
			{kind: "of another workload", claims: svid, with: m{"sub": "spiffe://example.test/ns/shop/sa/website"}, want: policy},
			{kind: "of a path below one on the list", claims: svid, with: m{"sub": "spiffe://example.test/ns/shop/sa/reports/debug"}, want: policy},
			{kind: "of another trust domain, which is federated", claims: svid, with: m{"sub": "spiffe://partner.test/ns/shop/sa/reports"}, want: policy},
			{kind: "of nobody", made: true, claims: svid, with: m{"sub": absent}, want: policy},
			{kind: "without iss", claims: svid, with: m{"iss": absent}, want: missing},
			{kind: "for another service", claims: svid, with: m{"aud": []string{"spiffe://example.test/ns/shop/sa/payments"}}, want: audience},
		},
	}}
}

// circle is a provider without a function of its own.
func circle() *provider {
	const (
		job = `{"aud":"https://orders.example.test","exp":1772370000,"iat":1772366400,"iss":"https://oidc.circleci.com/org/0c0c0c0c-1111-4111-8111-111111111111",
			"oidc.circleci.com/context-ids":["0a0a0a0a-7777-4777-8777-777777777777","0b0b0b0b-7777-4777-8777-777777777777"],"oidc.circleci.com/project-id":"0d0d0d0d-7777-4777-8777-777777777777",
			"oidc.circleci.com/vcs-origin":"github.com/example/shop","oidc.circleci.com/vcs-ref":"refs/heads/main","oidc.circleci.com/ssh-rerun":false,
			"sub":"org/0c0c0c0c-1111-4111-8111-111111111111/project/0d0d0d0d-7777-4777-8777-777777777777/user/0e0e0e0e-7777-4777-8777-777777777777"}`
		of = "https://oidc.circleci.com/org/0c0c0c0c-1111-4111-8111-111111111111"
	)
	return &provider{
		name: "CircleCI, by Workload", function: "Workload",
		preset: idp.Workload(of, jobAudience, idp.Where{"oidc.circleci.com/project-id": {"0d0d0d0d-7777-4777-8777-777777777777"}, "oidc.circleci.com/context-ids": {"0b0b0b0b-7777-4777-8777-777777777777"},
			"oidc.circleci.com/ssh-rerun": {"false"}}),
		plain:    byHandFor(of),
		metadata: of + "/.well-known/openid-configuration", absent: "https://oidc.circleci.com/.well-known/oauth-authorization-server/org/0c0c0c0c-1111-4111-8111-111111111111", keys: of + "/.well-known/jwks-pub.json",
		published: published{alg: "RS256", header: m{"typ": "JWT"}, jwks: one("cci")},
		essential: func(c m) bool {
			return means(c, "oidc.circleci.com/project-id", "0d0d0d0d-7777-4777-8777-777777777777") &&
				means(c, "oidc.circleci.com/context-ids", "0b0b0b0b-7777-4777-8777-777777777777") && means(c, "oidc.circleci.com/ssh-rerun", "false")
		},
		rows: []row{
			{kind: "of a job of the project", claims: job},
			{kind: "of another project of the organization", claims: job, with: m{"oidc.circleci.com/project-id": "0d0d0d0d-8888-4888-8888-888888888888"}, want: policy},
			{kind: "without the context", claims: job, with: m{"oidc.circleci.com/context-ids": []string{"0a0a0a0a-7777-4777-8777-777777777777"}}, want: policy},
			{kind: "of a job that somebody runs again by SSH", claims: job, with: m{"oidc.circleci.com/ssh-rerun": true}, want: policy},
			{kind: "of another organization", claims: job, with: m{"iss": "https://oidc.circleci.com/org/0f0f0f0f-1111-4111-8111-111111111111"}, want: issuer},
			{kind: "for the default audience", claims: job, with: m{"aud": "0c0c0c0c-1111-4111-8111-111111111111"}, want: audience},
			{kind: "whose project is a path in an object", made: true, claims: job, with: m{"oidc.circleci.com/project-id": m{"id": "0d0d0d0d-7777-4777-8777-777777777777"}}, want: policy},
		},
	}
}
