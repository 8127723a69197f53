// Command pictures draws the pictures of the documents: plots, from numbers that were
// measured, and diagrams, from what stands where. Both are kept beside it.
//
//	go run ./tools/pictures                                   docs/*.svg, from the *.json here
//	go run ./tools/pictures -record http://127.0.0.1:9090     writes outage.json anew, and draws
//
// outage.json is what a Prometheus has seen of examples/observability: its run.sh, with
// PICTURE=1, records it. cost.json is what the benchmarks of test/bench have measured,
// with -data.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"os"
	"os/signal"
)

const (
	outageData = "tools/pictures/outage.json"
	costData   = "tools/pictures/cost.json"
)

// pictures are the files that are drawn, all from the root of the repository.
var pictures = []struct {
	file string
	draw func() (*canvas, error)
}{
	{"docs/observability-outage.svg", func() (*canvas, error) { return drawn(outageData, drawOutage) }},
	{"docs/cost.svg", func() (*canvas, error) { return drawn(costData, drawCost) }},
	{"docs/pipeline.svg", func() (*canvas, error) { return drawn("tools/pictures/pipeline.json", drawDiagram) }},
	{"docs/key-cache.svg", func() (*canvas, error) { return drawn("tools/pictures/key-cache.json", drawDiagram) }},
	{"docs/fleet.svg", func() (*canvas, error) { return drawn("tools/pictures/fleet.json", drawDiagram) }},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("pictures: ")
	record := flag.String("record", "", "the URL of a Prometheus that has watched examples/observability")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *record)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, prometheus string) error {
	if prometheus != "" {
		seen, err := recorded(ctx, prometheus)
		if err != nil {
			return err
		}
		text, err := seen.lines()
		if err != nil {
			return err
		}
		if err := os.WriteFile(outageData, text, 0o644); err != nil {
			return err
		}
	}
	for _, p := range pictures {
		c, err := p.draw()
		if err != nil {
			return err
		}
		if err := os.WriteFile(p.file, c.svg(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// drawn reads the numbers and draws them.
func drawn[T any](file string, draw func(T) (*canvas, error)) (*canvas, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var data T
	if err := json.Unmarshal(text, &data); err != nil {
		return nil, err
	}
	return draw(data)
}
