// Command manager is an ordinary controller-runtime program: a manager with
// one controller, written for one cluster. The only thing in it that knows of
// a fleet is LeaderElectionConfig, whose server URL has a path appended.
//
// Its controller marks each Festival with the name of the manager that saw it.
// It prints the same lines as the program election: "started" when it is
// elected, "stopped" when it ends.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
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

func main() {
	kubeconfig := flag.String("own", "", "kubeconfig of the manager's own cluster")
	path := flag.String("election-path", "", "appended to the cluster's server URL for the election")
	name := flag.String("name", "manager", "name of the Lease")
	identity := flag.String("identity", "", "this manager's name")
	flag.Parse()
	if err := run(*kubeconfig, *path, *name, *identity); err != nil {
		fmt.Fprintf(os.Stderr, "manager: %v\n", err)
		os.Exit(1)
	}
}

func run(kubeconfig, path, name, identity string) error {
	ctrl.SetLogger(zap.New())
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	fleet := rest.CopyConfig(config)
	fleet.Host += path
	lease, renew, retry := 5*time.Second, 3*time.Second, 500*time.Millisecond
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Metrics:                       server.Options{BindAddress: "0"},
		LeaderElection:                true,
		LeaderElectionID:              name,
		LeaderElectionNamespace:       "default",
		LeaderElectionConfig:          fleet,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &lease,
		RenewDeadline:                 &renew,
		RetryPeriod:                   &retry,
	})
	if err != nil {
		return err
	}
	watched := &unstructured.Unstructured{}
	watched.SetGroupVersionKind(festival)
	err = ctrl.NewControllerManagedBy(manager).Named("marker").For(watched).Complete(&marker{manager.GetClient(), identity})
	if err != nil {
		return err
	}
	go func() {
		<-manager.Elected()
		say(identity, "started")
	}()
	err = manager.Start(ctrl.SetupSignalHandler())
	say(identity, "stopped")
	return err
}

func say(identity, event string) {
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		fmt.Fprintf(os.Stderr, "manager: reading the clock: %v\n", err)
		os.Exit(1)
	}
	line := map[string]any{"identity": identity, "event": event, "leader": identity, "boot": boot.Nano()}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		os.Exit(1)
	}
}
