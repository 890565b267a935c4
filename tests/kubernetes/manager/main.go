// Command manager is an ordinary controller-runtime program: a manager with
// one controller, written for one cluster. The only thing in it that knows of
// a fleet is LeaderElectionConfig, whose server URL has a path appended.
//
// Its controller marks each Festival with the name of the manager that saw it.
// With --object the leader does the work of package trace as well, through its
// own cluster. The package also has the output.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"helium.dev/tests/kubernetes/trace"
)

const mark = "example.com/seen-by"

var festival = schema.GroupVersionKind{Group: "innsmouth.example.com", Version: "v1", Kind: "Festival"}

type marker struct {
	client.Client
	identity string
}

// Reconcile marks an object, unless it is marked.
func (m *marker) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(festival)
	if err := m.Get(ctx, request.NamespacedName, object); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if object.GetAnnotations()[mark] != "" {
		return ctrl.Result{}, nil
	}
	before := object.DeepCopy()
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[mark] = m.identity
	object.SetAnnotations(annotations)
	return ctrl.Result{}, m.Patch(ctx, object, client.MergeFrom(before))
}

type options struct {
	own, path, name, identity, object string
	lease, renew, retry, work         time.Duration
	release                           bool
}

func main() {
	var o options
	flag.StringVar(&o.own, "own", "", "kubeconfig of the manager's own cluster")
	flag.StringVar(&o.path, "election-path", "", "appended to the cluster's server URL for the election")
	flag.StringVar(&o.name, "name", "manager", "name of the Lease")
	flag.StringVar(&o.identity, "identity", "", "this manager's name")
	flag.DurationVar(&o.lease, "lease-duration", 5*time.Second, "how long others wait after the last renewal they saw")
	flag.DurationVar(&o.renew, "renew-deadline", 3*time.Second, "how long a leader tries to renew before it stops")
	flag.DurationVar(&o.retry, "retry-period", 500*time.Millisecond, "time between tries")
	flag.BoolVar(&o.release, "release", true, "give the Lease up when asked to end (LeaderElectionReleaseOnCancel)")
	flag.StringVar(&o.object, "object", "", "a Festival that the leader writes to")
	flag.DurationVar(&o.work, "work", 250*time.Millisecond, "time between the leader's writes")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintf(os.Stderr, "manager: %v\n", err)
		os.Exit(1)
	}
}

func run(o options) error {
	ctrl.SetLogger(zap.New())
	config, err := clientcmd.BuildConfigFromFlags("", o.own)
	if err != nil {
		return err
	}
	fleet := rest.CopyConfig(config)
	fleet.Host += o.path
	requests := trace.NewElector(o.identity)
	fleet.Wrap(requests.Wrap)
	m, err := ctrl.NewManager(config, ctrl.Options{
		Metrics:                       server.Options{BindAddress: "0"},
		LeaderElection:                true,
		LeaderElectionID:              o.name,
		LeaderElectionNamespace:       "default",
		LeaderElectionConfig:          fleet,
		LeaderElectionReleaseOnCancel: o.release,
		LeaseDuration:                 &o.lease,
		RenewDeadline:                 &o.renew,
		RetryPeriod:                   &o.retry,
	})
	if err != nil {
		return err
	}
	watched := &unstructured.Unstructured{}
	watched.SetGroupVersionKind(festival)
	err = ctrl.NewControllerManagedBy(m).Named("marker").For(watched).Complete(&marker{m.GetClient(), o.identity})
	if err != nil {
		return err
	}
	if o.object != "" {
		work, err := trace.NewWork(config, trace.Work{
			Identity: o.identity, Lease: "default/" + o.name, Object: o.object, Fence: true, Pause: o.work,
		})
		if err != nil {
			return err
		}
		// A runnable starts when the manager is elected.
		lead := manager.RunnableFunc(func(ctx context.Context) error {
			work.Lead(ctx, requests.Token())
			return nil
		})
		if err := m.Add(lead); err != nil {
			return err
		}
	}
	go func() {
		<-m.Elected()
		trace.Say(trace.Line{Identity: o.identity, Event: trace.Started, Leader: o.identity, Token: requests.Token()})
	}()
	err = m.Start(ctrl.SetupSignalHandler())
	trace.Say(trace.Line{Identity: o.identity, Event: trace.Stopped, Leader: o.identity})
	return err
}
