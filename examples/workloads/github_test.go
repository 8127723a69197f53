package workloads_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/examples/workloads"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

const (
	githubIssuer   = "https://token.actions.githubusercontent.com"
	deployAudience = "https://deploy.example.com"
	deployedCommit = "714a629c0b401fdce83e847fc9589983fc6f46bc"
)

var deployer = workloads.Deployer{RepositoryID: "700007", OwnerID: "70001", Branch: "main", Environment: "production",
	Workflow: "octo/shop/.github/workflows/deploy.yml@refs/heads/main"}

// job is the token of a job of GitHub Actions, with a change.
func job(as *authtest.Server, change func(claims map[string]any)) string {
	claims := as.Claims(authtest.Claims{Subject: "repo:octo/shop:environment:production", Audience: []string{deployAudience}})
	delete(claims, "client_id")
	maps.Copy(claims, map[string]any{
		"repository": "octo/shop", "repository_id": "700007", "repository_owner": "octo", "repository_owner_id": "70001", "repository_visibility": "public",
		"ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true", "base_ref": "", "head_ref": "",
		"sha": deployedCommit, "workflow": "deploy", "workflow_ref": "octo/shop/.github/workflows/deploy.yml@refs/heads/main",
		"workflow_sha": deployedCommit, "job_workflow_ref": "octo/shop/.github/workflows/deploy.yml@refs/heads/main", "job_workflow_sha": deployedCommit,
		"environment": "production", "event_name": "push", "actor": "ada", "actor_id": "7", "run_id": "9001", "run_number": "12", "run_attempt": "1",
		"runner_environment": "github-hosted",
	})
	if change != nil {
		change(claims)
	}
	return as.Sign(map[string]any{"typ": "JWT"}, claims)
}

func TestGitHubActions(t *testing.T) {
	as := authtest.New(t, authtest.WithIssuer(githubIssuer), authtest.WithAlgorithms("RS256"))
	v, err := deployer.Verifier(deployAudience, as.Client())
	require.NoError(t, err)
	used, err := dpop.NewMemory(100)
	require.NoError(t, err)
	var deployed []workloads.Deployment
	d := &decisions{}
	api, err := workloads.Deployments(v, used, d.config(), func(_ context.Context, one workloads.Deployment) error {
		deployed = append(deployed, one)
		if one.Actor == "broken" {
			return errors.New("no machine is left")
		}
		return nil
	})
	require.NoError(t, err)

	says := func(pairs ...any) func(map[string]any) {
		return func(claims map[string]any) {
			for i := 0; i < len(pairs); i += 2 {
				claims[pairs[i].(string)] = pairs[i+1]
			}
		}
	}
	refusal := func(reason bearergate.Reason) kit.Verdict {
		return kit.Verdict{Kind: bearergate.ErrInvalidToken, Reason: reason}
	}
	for _, tt := range []struct {
		name   string
		change func(claims map[string]any)
		status int // 0: 401
		want   kit.Verdict
	}{
		{name: "of the job", status: 201},
		{name: "of the job, started by hand", change: says("event_name", "workflow_dispatch"), status: 201},
		{name: "of the job, started again", change: says("run_attempt", "2"), status: 201},
		{name: "of the job, and the deployment fails", change: says("actor", "broken"), status: 500},
		{name: "of the job, without a commit", change: says("sha", ""), status: 422},
		{name: "of a fork", change: says("repository", "mallory/shop", "repository_id", "666", "repository_owner", "mallory", "repository_owner_id", "66",
			"sub", "repo:mallory/shop:environment:production"), want: refusal(bearergate.ReasonPolicy)},
		{name: "of a fork that calls the workflow", change: says("repository", "mallory/shop", "repository_id", "666", "repository_owner", "mallory", "repository_owner_id", "66",
			"workflow_ref", "mallory/shop/.github/workflows/x.yml@refs/heads/main"), want: refusal(bearergate.ReasonPolicy)},
		{name: "of another repository of the owner, whose name begins so", change: says("repository", "octo/shop-tools", "repository_id", "700008",
			"sub", "repo:octo/shop-tools:environment:production"), want: refusal(bearergate.ReasonPolicy)},
		{name: "of a repository that got the name later", change: says("repository_id", "800008"), want: refusal(bearergate.ReasonPolicy)},
		{name: "of the repository, after it went to another owner", change: says("repository_owner", "mallory", "repository_owner_id", "66"), want: refusal(bearergate.ReasonPolicy)},
		{name: "of another branch", change: says("ref", "refs/heads/main2"), want: refusal(bearergate.ReasonPolicy)},
		{name: "of a tag with the name of the branch", change: says("ref", "refs/tags/main", "ref_type", "tag"), want: refusal(bearergate.ReasonPolicy)},
		{name: "of a pull request", change: says("ref", "refs/pull/7/merge", "event_name", "pull_request", "head_ref", "fix", "base_ref", "main"), want: refusal(bearergate.ReasonPolicy)},
		{name: "of a pull request, on the branch that it is for", change: says("event_name", "pull_request_target", "head_ref", "fix", "base_ref", "main"), want: refusal(bearergate.ReasonPolicy)},
		{name: "after another workflow", change: says("event_name", "workflow_run"), want: refusal(bearergate.ReasonPolicy)},
		{name: "for another environment", change: says("environment", "staging"), want: refusal(bearergate.ReasonPolicy)},
		{name: "for no environment", change: func(claims map[string]any) { delete(claims, "environment") }, want: refusal(bearergate.ReasonPolicy)},
		{name: "of another workflow", change: says("job_workflow_ref", "octo/shop/.github/workflows/test.yml@refs/heads/main"), want: refusal(bearergate.ReasonPolicy)},
		{name: "of the workflow as it is on another branch", change: says("job_workflow_ref", "octo/shop/.github/workflows/deploy.yml@refs/heads/fix"), want: refusal(bearergate.ReasonPolicy)},
		{name: "with the ID as the name of a member", change: says("repository_id", map[string]any{"700007": true}), want: refusal(bearergate.ReasonPolicy)},
		{name: "for the default audience", change: says("aud", "https://github.com/octo"), want: refusal(bearergate.ReasonAudience)},
		{name: "for a cloud", change: says("aud", "sts.amazonaws.com"), want: refusal(bearergate.ReasonAudience)},
		{name: "of an enterprise with an issuer of its own", change: says("iss", githubIssuer+"/octo"), want: refusal(bearergate.ReasonIssuer)},
		{name: "expired", change: says("exp", time.Now().Add(-time.Minute).Unix()), want: refusal(bearergate.ReasonExpired)},
		{name: "without jti, which could be used again", change: func(claims map[string]any) { delete(claims, "jti") }, want: refusal(bearergate.ReasonMissingClaim)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			deployed = nil
			token := job(as, tt.change)
			w := serve(api, "POST", "/deployments", token)
			d.require(t, tt.want, token)
			if tt.want.Kind != nil {
				require.Equal(t, http.StatusUnauthorized, w.Code)
				require.Empty(t, deployed)
				return
			}
			require.Equal(t, tt.status, w.Code)
			require.Equal(t, tt.status != 422, len(deployed) == 1)
			if tt.status == 201 {
				var answer map[string]string
				require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
				require.Equal(t, map[string]string{"commit": deployedCommit}, answer)
				require.Equal(t, workloads.Deployment{Commit: deployedCommit, RunID: "9001", Actor: "ada"}, deployed[0])
			}

			// The same token once more, as it stands in somebody's log.
			deployed = nil
			require.Equal(t, http.StatusUnauthorized, serve(api, "POST", "/deployments", token).Code)
			d.require(t, refusal(bearergate.ReasonReplay), token)
			require.Empty(t, deployed)
		})
	}
}

// GitHub's keys cannot be had: the job is told to try again, and its token is not used up.
func TestGitHubActionsOutage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t, authtest.WithIssuer(githubIssuer))
		v, err := deployer.Verifier(deployAudience, as.Client())
		require.NoError(t, err)
		used, err := dpop.NewMemory(100)
		require.NoError(t, err)
		d, deployed := &decisions{}, 0
		api, err := workloads.Deployments(v, used, d.config(), func(context.Context, workloads.Deployment) error { deployed++; return nil })
		require.NoError(t, err)
		as.Fail(authtest.Fault{Status: 503})
		token := job(as, nil)
		w := serve(api, "POST", "/deployments", token)
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		d.require(t, kit.Verdict{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable}, token)
		require.Zero(t, deployed)

		as.Fail(authtest.Fault{})
		wait, err := strconv.Atoi(w.Header().Get("Retry-After"))
		require.NoError(t, err)
		time.Sleep(time.Duration(wait) * time.Second)
		require.Equal(t, http.StatusCreated, serve(api, "POST", "/deployments", token).Code)
		require.Equal(t, 1, deployed)
	})
}

func TestDeployerIsComplete(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*workloads.Deployer)
	}{
		{"RepositoryID", func(d *workloads.Deployer) { d.RepositoryID = "" }},
		{"OwnerID", func(d *workloads.Deployer) { d.OwnerID = "" }},
		{"Branch", func(d *workloads.Deployer) { d.Branch = "" }},
		{"Environment", func(d *workloads.Deployer) { d.Environment = "" }},
		{"Workflow", func(d *workloads.Deployer) { d.Workflow = "" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := deployer
			tt.change(&d)
			v, err := d.Verifier(deployAudience, nil)
			require.Error(t, err)
			require.Nil(t, v)
		})
	}
}
