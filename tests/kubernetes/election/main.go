// Command election is one candidate of a leader election with client-go's
// unmodified leaderelection package, on a Lease of any server.
//
// It prints one JSON object a line: "started" and "stopped" bound the time in
// which it believes to lead, "leader" names whom it sees lead. Times are given
// twice: wall is for people; boot, nanoseconds of CLOCK_BOOTTIME, can be
// compared between the processes of one machine.
//
// Requests are JSON. With --group coordination.helium.dev the Lease is the
// shared one as every cluster's own kube-apiserver serves it.
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
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

type options struct {
	kubeconfig, group, namespace, name, identity string
	lease, renew, retry                          time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "the server that has the Lease")
	flag.StringVar(&o.group, "group", coordination.GroupName, "API group of the Lease: coordination.k8s.io or coordination.helium.dev")
	flag.StringVar(&o.namespace, "namespace", "default", "namespace of the Lease")
	flag.StringVar(&o.name, "name", "election", "name of the Lease")
	flag.StringVar(&o.identity, "identity", "", "this candidate's name")
	flag.DurationVar(&o.lease, "lease-duration", 5*time.Second, "how long others wait after the last renewal they saw")
	flag.DurationVar(&o.renew, "renew-deadline", 3*time.Second, "how long a leader tries to renew before it stops")
	flag.DurationVar(&o.retry, "retry-period", 500*time.Millisecond, "time between tries")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "election: %v\n", err)
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
	leases, err := leaseClient(config, o.group)
	if err != nil {
		return err
	}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  meta.ObjectMeta{Namespace: o.namespace, Name: o.name},
			Client:     leases,
			LockConfig: resourcelock.ResourceLockConfig{Identity: o.identity},
		},
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

// leaseClient makes client-go's own Lease client for a group: the types are
// registered under that group alone, so that it writes and reads no other.
func leaseClient(config *rest.Config, group string) (*client.CoordinationV1Client, error) {
	version := schema.GroupVersion{Group: group, Version: "v1"}
	types := runtime.NewScheme()
	types.AddKnownTypes(version, &coordination.Lease{}, &coordination.LeaseList{})
	meta.AddToGroupVersion(types, version)
	// The client encodes its query parameters with client-go's own scheme.
	meta.AddToGroupVersion(scheme.Scheme, version)
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = "/apis", &version
	config.NegotiatedSerializer = serializer.NewCodecFactory(types).WithoutConversion()
	config.ContentType = runtime.ContentTypeJSON
	config.AcceptContentTypes = runtime.ContentTypeJSON
	config.Timeout = 10 * time.Second
	inner, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, err
	}
	return client.New(inner), nil
}

var output sync.Mutex

func say(identity, event, leader string) {
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		fmt.Fprintf(os.Stderr, "election: reading the clock: %v\n", err)
		os.Exit(1)
	}
	output.Lock()
	defer output.Unlock()
	line := map[string]any{"identity": identity, "event": event, "leader": leader, "boot": boot.Nano(), "wall": time.Now().UTC().Format(time.RFC3339Nano)}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		os.Exit(1)
	}
}
