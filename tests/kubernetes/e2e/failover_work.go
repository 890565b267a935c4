package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"helium.dev/tests/kubernetes/history"
	"helium.dev/tests/kubernetes/trace"
)

// works are what the payloads' pods did, for the judge.
var works struct {
	mu  sync.Mutex
	all []*history.Run
	// unfenced makes pods that start from now on write without their fence.
	unfenced atomic.Bool
}

// work is what a pod of a payload does while it runs: it writes to the Festival that has
// its group's name, through its own cluster's kube-apiserver, with what its environment has.
func (c *cluster) work(ctx context.Context, pod *core.Pod) {
	environment := map[string]string{}
	for _, variable := range pod.Spec.Containers[0].Env {
		environment[variable.Name] = variable.Value
	}
	callsign := environment["CALLSIGN"]
	if callsign == "" {
		return // a payload that doesn't write
	}
	run := &history.Run{Program: "payload", Cluster: c.name, Lease: pod.Namespace + "/" + callsign, Identity: c.name + "-" + pod.Name}
	tell := func(line trace.Line) {
		line.Identity = run.Identity
		if line.Boot == 0 {
			line.Boot = trace.Now()
		}
		works.mu.Lock()
		defer works.mu.Unlock()
		run.Lines = append(run.Lines, line)
	}
	works.mu.Lock()
	works.all = append(works.all, run)
	works.mu.Unlock()
	tell(trace.Line{Event: trace.Renewed, Leader: c.name})
	token, err := strconv.ParseInt(environment["HELIUM_FENCING_TOKEN"], 10, 64)
	fence := environment["HELIUM_FENCE"]
	if want := fmt.Sprintf("%s/failover-%s=%d", pod.Namespace, callsign, token); err != nil || fence != want {
		tell(trace.Line{Event: trace.Wrote, Outcome: trace.Refused, Token: -1, Message: fmt.Sprintf("HELIUM_FENCE is %q, not %q: %v", fence, want, err)})
		return
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return
	}
	config.Host = "https://" + c.apiWay
	if !works.unfenced.Load() {
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return fenced{next, fence} })
	}
	work, err := trace.NewWork(config, trace.Work{Identity: run.Identity, Object: callsign, Pause: 250 * time.Millisecond, Tell: tell})
	if err != nil {
		return
	}
	tell(trace.Line{Event: trace.Started, Token: token})
	// A container that is killed leaves what it has sent on its way: it isn't waited for.
	go work.Lead(ctx, token)
	<-ctx.Done()
	tell(trace.Line{Event: trace.Stopped})
}

// fenced adds the precondition to every request, as a workload does with what
// it finds in its environment.
type fenced struct {
	next  http.RoundTripper
	fence string
}

// RoundTrip sends a request with the fence.
func (f fenced) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("Helium-Fence", f.fence)
	return f.next.RoundTrip(request)
}

// workersOf returns what the pods of a group did so far.
func workersOf(group string) (all []history.Run) {
	works.mu.Lock()
	defer works.mu.Unlock()
	for _, run := range works.all {
		if run.Lease == group {
			copied := *run
			copied.Lines = append([]trace.Line(nil), run.Lines...)
			all = append(all, copied)
		}
	}
	return all
}
