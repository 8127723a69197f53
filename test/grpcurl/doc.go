// Package grpcurl runs the command grpcurl against the server of examples/grpc: with reflection
// closed, opened to a scope, and opened to everybody. It has only tests, and is a module of its
// own for what grpcurl depends on.
package grpcurl
