package main

import "context"

func decode(_ context.Context, _ *env, _ []string) error { return usage("not yet") }
