package workloads

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
)

// Deployer says which job of GitHub Actions may deploy: all of it is required.
type Deployer struct {
	// RepositoryID and OwnerID never change and are never given to anybody else, as names
	// are: gh api repos/OWNER/NAME --jq '.id, .owner.id'.
	RepositoryID, OwnerID string
	Branch                string // "main"
	Environment           string // "production": its protection rules say who approves
	// Workflow is the file with the job, at the ref that it was taken from:
	// "octo/shop/.github/workflows/deploy.yml@refs/heads/main". It is the file that was
	// called, where a workflow calls a reusable one.
	Workflow string
}

// Verifier returns a verifier for the tokens of this job. audience is a name of the API's
// own, which the job asks for: core.getIDToken("https://deploy.example.com").
func (d Deployer) Verifier(audience string, client *http.Client) (*jwtverify.Verifier, error) {
	if d.Branch == "" { // the others are empty conditions then, which New reports
		return nil, errors.New("workloads: Branch is empty")
	}
	config := idp.GitHubActions(audience, idp.Where{
		"repository_id":       {d.RepositoryID},
		"repository_owner_id": {d.OwnerID},
		"ref":                 {"refs/heads/" + d.Branch},
		"environment":         {d.Environment},
		"job_workflow_ref":    {d.Workflow},
		// ref does not keep pull requests out: under pull_request_target it is the branch
		// that the request is for. Name the events that deploy, and no other.
		"event_name": {"push", "workflow_dispatch"},
	})
	config.HTTPClient = client // nil: the default
	return jwtverify.New(config)
}

// Deployment is what a token says is to be deployed.
type Deployment struct {
	Commit, RunID, Actor string
}

var commit = regexp.MustCompile(`^[0-9a-f]{40}$`)

// Deployments is the API: POST /deployments deploys the commit of the job that calls. The
// request says nothing that counts, for the token says it under a signature. used keeps
// tokens from being used twice: a job whose log was read in time gives nobody a second
// deployment. Share it among all processes.
func Deployments(v bearergate.Verifier, used middleware.ReplayStore, config middleware.Config, deploy func(context.Context, Deployment) error) (http.Handler, error) {
	gate, err := middleware.New(v, config)
	if err != nil {
		return nil, err
	}
	router := gate.NewRouter()
	router.AuthenticatedFunc("POST /deployments", func(w http.ResponseWriter, r *http.Request) {
		token, _ := bearergate.FromContext(r.Context())
		var says struct {
			SHA   string `json:"sha"`
			RunID string `json:"run_id"`
			Actor string `json:"actor"`
		}
		if err := token.Claims(&says); err != nil || !commit.MatchString(says.SHA) {
			http.Error(w, "the token names no commit", http.StatusUnprocessableEntity)
			return
		}
		if err := deploy(r.Context(), Deployment{Commit: says.SHA, RunID: says.RunID, Actor: says.Actor}); err != nil {
			http.Error(w, "not deployed", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]string{"commit": says.SHA})
	}, middleware.Once(used))
	return router.Handler()
}
