// Package bench measures what a verification costs, here and in other
// libraries, in one run: the same token, the same key, the same checks, taken in
// turn, so that a machine that changes its speed changes it for all of them.
//
//	go test -bench . -benchtime 0.2s   # prints the tables of docs/cost.md
//	go test -run '^$' -bench Ways .    # one of them: every way to be let in, under every load
//	go test -bench . -data "$PWD/../../tools/pictures/cost.json" && go run -C ../.. ./tools/pictures   # the plot too
//
// What is printed before the tables is in the form of benchstat:
//
//	benchstat -ignore /round -row /alg,/by out.txt
//
// BenchmarkWays compares each way with the bare signature check in turns, over a real nginx
// and over gRPC too; with -check it fails where one takes more than its bound, which is far
// above what it does take. TestAllocations holds exactly what each allocates.
//
// The plain tests hold every library to the same valid token and the same wrong
// ones, list what each accepts beyond that, and play the faults of an
// authorization server to the key caches of three of them.
package bench
