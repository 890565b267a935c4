// Command robustness judges the etcd API of any endpoints with etcd's own
// robustness suite: its traffic, its model (porcupine) and its watch validators.
//
// The suite normally learns what was really persisted from etcd's write-ahead
// log. Servers that are not etcd have none, so the history is read back after
// the traffic (see history.go), which needs a store without compaction.
//
// The endpoints must be instances of one store, and that store must be empty:
// at revision 1. Exit status: 0 all four verdicts are Success, 1 one is not,
// 2 the run itself failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"go.etcd.io/etcd/tests/v3/robustness/client"
	"go.etcd.io/etcd/tests/v3/robustness/identity"
	"go.etcd.io/etcd/tests/v3/robustness/report"
	"go.etcd.io/etcd/tests/v3/robustness/traffic"
	"go.etcd.io/etcd/tests/v3/robustness/validate"
)

// profiles are the traffics by the name that --traffic takes.
var profiles = map[string]traffic.Traffic{
	"etcd":       traffic.EtcdPutDeleteLease,
	"kubernetes": traffic.Kubernetes,
}

type options struct {
	endpoints []string
	traffic   string
	duration  time.Duration
	timeout   time.Duration
	minimum   float64
	verbose   bool
	visualize string
	// during, if set, runs beside the traffic and must end with it: faults.
	during func(finish <-chan struct{}) error
}

func main() {
	var o options
	var endpoints string
	flag.StringVar(&endpoints, "endpoints", "127.0.0.1:2379", "comma-separated client addresses of one empty store")
	flag.StringVar(&o.traffic, "traffic", "etcd", "etcd (EtcdPutDeleteLease) or kubernetes")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "how long the traffic runs")
	flag.DurationVar(&o.timeout, "request-timeout", 2*time.Second, "deadline of one request of the traffic")
	flag.Float64Var(&o.minimum, "min-qps", 100, "a slower run is refused: it would prove too little")
	flag.BoolVar(&o.verbose, "v", false, "print the log of the suite")
	flag.StringVar(&o.visualize, "visualize", "", "write porcupine's picture of the history to this file")
	flag.Parse()
	o.endpoints = strings.Split(endpoints, ",")

	passed, err := run(context.Background(), o)
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "robustness: %v\n", err)
		os.Exit(2)
	case !passed:
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (bool, error) {
	profile, ok := profiles[o.traffic]
	if !ok {
		return false, fmt.Errorf("unknown traffic %q: expected etcd or kubernetes", o.traffic)
	}
	log := zap.NewNop()
	if o.verbose {
		var err error
		if log, err = zap.NewDevelopment(); err != nil {
			return false, err
		}
	}
	traffic.RequestTimeout = o.timeout

	began := time.Now()
	reports, last, err := drive(ctx, log, profile, o, began)
	if err != nil {
		return false, err
	}
	took := time.Since(began)
	stats := traffic.CalculateStats(reports, 0, took)
	fmt.Printf("traffic %s on %s: %d requests answered, %d failed, %.0f/s, revision %d\n", o.traffic,
		strings.Join(o.endpoints, " "), stats.Successes, stats.Failures, float64(stats.Successes)/o.duration.Seconds(), last)
	if qps := float64(stats.Successes) / o.duration.Seconds(); qps < o.minimum {
		return false, fmt.Errorf("%.0f requests/s is below --min-qps %.0f", qps, o.minimum)
	}

	persisted, err := readHistory(ctx, o.endpoints[0], last)
	if err != nil {
		return false, fmt.Errorf("reading the history back: %w", err)
	}
	config := validate.Config{ExpectRevisionUnique: profile.ExpectUniqueRevision()}
	result := validate.ValidateAndReturnVisualize(log, config, reports, persisted, 5*time.Minute)
	if o.visualize != "" {
		if err := result.Linearization.Visualize(log, o.visualize); err != nil {
			return false, err
		}
	}
	return printVerdicts(result), nil
}

// printVerdicts prints one line a verdict. A verdict that was never reached
// (its status is empty) counts as failed.
func printVerdicts(result validate.RobustnessResult) bool {
	passed := true
	for _, verdict := range []struct {
		name   string
		result validate.Result
	}{
		{"assumptions", result.Assumptions},
		{"linearizable", result.Linearization.Result},
		{"watch", result.Watch},
		{"serializable", result.Serializable},
	} {
		text := verdict.result.String()
		if verdict.result.Status == "" {
			text = "not reached"
		}
		fmt.Printf("  %-13s %s\n", verdict.name, text)
		passed = passed && verdict.result.Status == validate.Success
	}
	return passed
}

// drive runs the traffic and, beside it, a watch of every key on every
// endpoint. It returns what all clients saw and the last revision.
func drive(ctx context.Context, log *zap.Logger, profile traffic.Traffic, o options, began time.Time) ([]report.ClientReport, int64, error) {
	ids := identity.NewIDProvider()
	clients := client.NewSet(ids, began)
	defer clients.Close()
	watchers := client.NewSet(ids, began)
	defer watchers.Close()

	bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := traffic.CheckEmptyDatabaseAtStart(bounded, log, o.endpoints, clients); err != nil {
		return nil, 0, err
	}

	// Closing the channel without a value tells the watchers that the traffic failed.
	maxRevision := make(chan int64, 1)
	var last int64
	var group errgroup.Group
	group.Go(func() error {
		defer close(maxRevision)
		if err := simulate(ctx, log, profile, o, clients); err != nil {
			return err
		}
		var err error
		if last, err = finalWrite(ctx, o, clients); err != nil {
			return err
		}
		maxRevision <- last
		return nil
	})
	group.Go(func() error {
		err := client.CollectClusterWatchEvents(ctx, client.CollectClusterWatchEventsParam{
			Lg: log, Endpoints: o.endpoints, MaxRevisionChan: maxRevision, ClientSet: watchers,
		})
		if err != nil {
			return fmt.Errorf("watching every key: %w", err)
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return nil, 0, err
	}
	return slices.Concat(clients.Reports(), watchers.Reports()), last, nil
}

func simulate(ctx context.Context, log *zap.Logger, profile traffic.Traffic, o options, clients *client.ClientSet) error {
	load := traffic.KeyValueHigh
	watch := traffic.WatchDefault
	limiter := rate.NewLimiter(rate.Limit(load.MaximalQPS), load.BurstableQPS)
	keys := traffic.NewKeyStore(10, "key")
	storage := traffic.NewKubernetesStorage()
	finish := make(chan struct{})
	timer := time.AfterFunc(o.duration, func() { close(finish) })
	defer timer.Stop()

	var wg sync.WaitGroup
	err := traffic.SimulateKeyValueTraffic(ctx, &wg, &load, o.endpoints, clients, profile, traffic.RunTrafficLoopParam{
		QPSLimiter:                         limiter,
		IDs:                                clients.IdentityProvider(),
		LeaseIDStorage:                     identity.NewLeaseIDStorage(),
		NonUniqueRequestConcurrencyLimiter: traffic.NewConcurrencyLimiter(load.MaxNonUniqueRequestConcurrency),
		KeyStore:                           keys,
		Storage:                            storage,
		Finish:                             finish,
	})
	if err != nil {
		return err
	}
	err = traffic.SimulateWatchTraffic(ctx, &wg, &watch, o.endpoints, clients, profile, traffic.RunWatchLoopParam{
		Config: watch, QPSLimiter: limiter, KeyStore: keys, Storage: storage, Finish: finish, Logger: log,
	})
	if err != nil {
		return err
	}
	if o.during != nil {
		err = o.during(finish)
	}
	wg.Wait()
	return err
}

// finalWrite makes the write that the suite's validation requires: one after
// all traffic that succeeded, so that the fate of the failed ones is known.
func finalWrite(ctx context.Context, o options, clients *client.ClientSet) (int64, error) {
	recorder, err := clients.NewClient(o.endpoints)
	if err != nil {
		return 0, err
	}
	defer recorder.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	response, err := recorder.Put(ctx, "tombstone", "true")
	if err != nil {
		return 0, fmt.Errorf("the last write must succeed: %w", err)
	}
	if response.Header.Revision < 2 {
		return 0, errors.New("a write was answered without a revision")
	}
	return response.Header.Revision, nil
}
