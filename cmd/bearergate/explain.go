package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

// explanation is the JSON of explain.
type explanation struct {
	Verdict string `json:"verdict"` // accepted, refused, or unknown: an outage, or a mistake
	// Kind and Reason are those of bearergate.Error.
	Kind   string   `json:"kind,omitempty"`
	Reason string   `json:"reason,omitempty"`
	Error  string   `json:"error,omitempty"`
	Advice []string `json:"advice,omitempty"`
	Steps  []step   `json:"steps"`
}

type step struct {
	Name     string `json:"name"`
	State    string `json:"state"` // passed, failed, not reached
	Detail   string `json:"detail,omitempty"`
	Expected string `json:"expected,omitempty"`
	Found    string `json:"found,omitempty"`
	Unsigned bool   `json:"unsigned,omitempty"` // nobody vouches for what was found
}

func explain(ctx context.Context, e *env, args []string) error {
	var v verifierFlags
	flags := newFlags("explain", `
Says why an API with this configuration accepts or refuses a token, check by check. The
token comes from standard input or a file: bare, or as an Authorization header, also as
curl has it. It is sent to nobody, unless -introspect is given.`)
	v.register(flags)
	tokenFile := flags.String("token-file", "-", "`file` with the token; - is standard input")
	need := flags.String("scope", "", "`scopes` that the route requires, all of them, separated by spaces")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := parse(e, flags, args); err != nil {
		return err
	}
	if err := v.idle(flags); err != nil {
		return err
	}
	required, err := requirement(*need)
	if err != nil {
		return err
	}
	verifier, err := v.verifier(ctx, e)
	if err != nil {
		return err
	}
	token, err := e.token(ctx, *tokenFile)
	if err != nil {
		return err
	}
	limited, cancel := v.context(ctx)
	defer cancel()
	x := bearergate.Explain(limited, verifier, token.Reveal())
	if x.Err != nil && ctx.Err() != nil {
		return fmt.Errorf("explain: %w", context.Cause(ctx)) // what was broken off found nothing
	}
	if *need != "" {
		x = x.Authorize(bearergate.StepUp{}, required)
	}
	out := explanationOf(x)
	if *asJSON {
		err = e.json(out)
	} else {
		text := x.String()
		if rest, ok := strings.CutPrefix(text, "refused"); ok { // that is for tokens: here, nobody may know
			text = out.Verdict + rest
		}
		_, err = fmt.Fprint(e.stdout, text)
	}
	if err == nil && x.Err != nil {
		err = found{code: exitCode(context.WithoutCancel(ctx), x.Err)}
	}
	return err
}

func explanationOf(x bearergate.Explanation) explanation {
	out := explanation{Verdict: "accepted", Advice: x.Advice, Steps: []step{}}
	if err := bearergate.AsError(x.Err); err != nil {
		out.Verdict, out.Kind, out.Reason, out.Error = "refused", err.Kind.Error(), string(err.Reason), err.Error()
		if exitCode(context.Background(), err) != exitFound {
			out.Verdict = "unknown"
		}
	}
	for _, s := range x.Steps {
		out.Steps = append(out.Steps, step{Name: s.Name, State: string(s.State), Detail: s.Detail, Expected: s.Expected, Found: s.Found, Unsigned: s.Unsigned})
	}
	return out
}

// requirement reads -scope.
func requirement(text string) (scope.Requirement, error) {
	r := scope.All(strings.Fields(text)...)
	if text != "" && r.Err() != nil {
		return scope.Requirement{}, usage("-scope: %w", r.Err())
	}
	return r, nil
}
