// Command election is one candidate of a leader election with client-go's
// unmodified leaderelection package, on a Lease of any server. With --object it
// does a leader's work as well (see package trace, which also has its output).
//
// Requests are JSON. With --group coordination.helium.dev the Lease is the
// shared one as every cluster's own kube-apiserver serves it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

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

	"helium.dev/tests/kubernetes/trace"
)

type options struct {
	kubeconfig, group, namespace, name, identity, object string
	lease, renew, retry, work                            time.Duration
	release, fence                                       bool
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
	flag.BoolVar(&o.release, "release", true, "give the Lease up when asked to end (client-go's ReleaseOnCancel)")
	flag.StringVar(&o.object, "object", "", "a Festival that the leader writes to")
	flag.DurationVar(&o.work, "work", 250*time.Millisecond, "time between the leader's writes")
	flag.BoolVar(&o.fence, "fence", true, "the leader's writes count only while it holds the Lease")
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
	requests := trace.NewElector(o.identity)
	leases, err := leaseClient(config, o.group, requests)
	if err != nil {
		return err
	}
	work, err := trace.NewWork(config, trace.Work{
		Identity: o.identity, Lease: o.namespace + "/" + o.name, Object: o.object, Fence: o.fence, Pause: o.work,
	})
	if err != nil {
		return err
	}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  meta.ObjectMeta{Namespace: o.namespace, Name: o.name},
			Client:     leases,
			LockConfig: resourcelock.ResourceLockConfig{Identity: o.identity},
		},
		LeaseDuration: o.lease, RenewDeadline: o.renew, RetryPeriod: o.retry, ReleaseOnCancel: o.release,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				token := requests.Token()
				trace.Say(trace.Line{Identity: o.identity, Event: trace.Started, Leader: o.identity, Token: token})
				if o.object != "" {
					work.Lead(ctx, token)
				}
			},
			OnStoppedLeading: func() { trace.Say(trace.Line{Identity: o.identity, Event: trace.Stopped, Leader: o.identity}) },
			OnNewLeader: func(leader string) {
				trace.Say(trace.Line{Identity: o.identity, Event: trace.Leader, Leader: leader})
			},
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
func leaseClient(config *rest.Config, group string, requests *trace.Elector) (*client.CoordinationV1Client, error) {
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
	config.Wrap(requests.Wrap)
	inner, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, err
	}
	return client.New(inner), nil
}
