package main

import "context"

func dev(_ context.Context, _ *env, _ []string) error { return usage("not yet") }
