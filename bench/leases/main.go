// Command leases measures what renewals of very many clusters' leases cost: on
// three helium-apiservers over three kine-shims and PostgreSQL, and, for a
// ratio, the same load in the same run on a real kube-apiserver over a real etcd.
//
// Every lease is renewed on a schedule of its own by a client with a connection
// of its own, as each cluster's agent does, with a compare on its version. A
// renewal's time is counted from when it was due, so that one that had to wait
// behind the one before isn't forgiven.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"helium.dev/tests/harness"
)

type options struct {
	leases          int
	every, duration time.Duration
	rounds          int
	profile         string
	format, file    string
}

func main() {
	var o options
	flag.IntVar(&o.leases, "leases", 1000, "how many clusters there are, each with a lease")
	flag.DurationVar(&o.every, "every", 2*time.Second, "time between two renewals of a lease")
	flag.DurationVar(&o.duration, "duration", 30*time.Second, "of a round; a first period before it isn't counted")
	flag.IntVar(&o.rounds, "rounds", 3, "of each system, in turns")
	flag.StringVar(&o.profile, "profile", "release", "target folder of our servers: release or debug")
	flag.StringVar(&o.format, "o", "markdown", "markdown or json")
	flag.StringVar(&o.file, "json", "", "write the result as JSON to this file as well")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintf(os.Stderr, "leases: %v\n", err)
		os.Exit(1)
	}
}

func run(o options) (err error) {
	if o.leases < 1 || o.every <= 0 || o.duration <= 0 || o.rounds < 1 {
		return errors.New("--leases, --every, --duration and --rounds must be positive")
	}
	if o.format != "markdown" && o.format != "json" {
		return fmt.Errorf("-o: unknown format %q: expected markdown or json", o.format)
	}
	env, err := harness.NewEnv("bench-leases")
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := env.Close(err != nil); err == nil {
			err = closeErr
		}
	}()
	fmt.Fprintln(os.Stderr, "starting")
	systems, err := startSystems(env, o.profile)
	if err != nil {
		return err
	}
	result := Result{Leases: o.leases, Every: o.every, Duration: o.duration}
	loads := make([]*load, len(systems))
	for i, system := range systems {
		if loads[i], err = newLoad(context.Background(), system, o.leases, o.every); err != nil {
			return fmt.Errorf("%s: %w", system.name, err)
		}
		result.Systems = append(result.Systems, SystemResult{System: system.name})
	}
	for round := range o.rounds {
		for turn := range systems {
			i := (turn + round) % len(systems)
			fmt.Fprintf(os.Stderr, "round %d: %s\n", round+1, systems[i].name)
			sample := loads[i].round(context.Background(), o.duration)
			result.Systems[i].Rounds = append(result.Systems[i].Rounds, sample)
		}
	}
	return result.print(os.Stdout, o.format, o.file)
}
