package main

import "context"

func keys(_ context.Context, _ *env, _ []string) error { return usage("not yet") }
