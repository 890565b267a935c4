// Command coordinated is one candidate of a coordinated election, with
// client-go's own leasecandidate and leaderelection packages and its recorder
// of events, all through one server URL.
//
// It is what a component of Kubernetes is with the feature gate
// CoordinatedLeaderElection. It prints the same lines as the program election.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
)

type options struct {
	kubeconfig, namespace, name, identity string
	strategy, binary, emulation           string
	lease, renew, retry                   time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "the server that has Lease, candidates and events")
	flag.StringVar(&o.namespace, "namespace", "default", "namespace of the Lease")
	flag.StringVar(&o.name, "name", "coordinated", "name of the Lease")
	flag.StringVar(&o.identity, "identity", "", "this candidate's name")
	flag.StringVar(&o.strategy, "strategy", string(coordination.OldestEmulationVersion), "how the leader is picked")
	flag.StringVar(&o.binary, "binary-version", "1.36.0", "version of the program")
	flag.StringVar(&o.emulation, "emulation-version", "1.36.0", "version that the program behaves like")
	flag.DurationVar(&o.lease, "lease-duration", 5*time.Second, "how long others wait after the last renewal they saw")
	flag.DurationVar(&o.renew, "renew-deadline", 3*time.Second, "how long a leader tries to renew before it stops")
	flag.DurationVar(&o.retry, "retry-period", 500*time.Millisecond, "time between tries")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "coordinated: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.identity == "" {
		return fmt.Errorf("--identity is missing")
	}
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&typed.EventSinkImpl{Interface: client.CoreV1().Events(o.namespace)})
	recorder := broadcaster.NewRecorder(scheme.Scheme, core.EventSource{Component: o.identity})

	strategy := coordination.CoordinatedLeaseStrategy(o.strategy)
	candidate, _, err := leaderelection.NewCandidate(client, o.namespace, o.identity, o.name, o.binary, o.emulation, strategy)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { candidate.Run(ctx) })

	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  meta.ObjectMeta{Namespace: o.namespace, Name: o.name},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: o.identity, EventRecorder: recorder},
		},
		Coordinated:   true,
		LeaseDuration: o.lease, RenewDeadline: o.renew, RetryPeriod: o.retry, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { say(o.identity, "started", o.identity) },
			OnStoppedLeading: func() { say(o.identity, "stopped", o.identity) },
			OnNewLeader:      func(leader string) { say(o.identity, "leader", leader) },
		},
	})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		elector.Run(ctx) // ends when leadership is lost: stand again
	}
	return nil
}

var output sync.Mutex

func say(identity, event, leader string) {
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		fmt.Fprintf(os.Stderr, "coordinated: reading the clock: %v\n", err)
		os.Exit(1)
	}
	output.Lock()
	defer output.Unlock()
	line := map[string]any{"identity": identity, "event": event, "leader": leader, "boot": boot.Nano(), "wall": time.Now().UTC().Format(time.RFC3339Nano)}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		os.Exit(1)
	}
}
