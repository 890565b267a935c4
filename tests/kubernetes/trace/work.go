package trace

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// Work is what a leader does: it thinks for a while and then writes what it
// thought to an object that all candidates share, again and again.
//
// It doesn't look again whether it still leads between thinking and writing:
// however often a program looks, it can be paused behind its last look. With
// Fence the write counts only while the lease is held at the leader's token.
type Work struct {
	Identity string
	// Lease is <namespace>/<name> of the lease.
	Lease string
	// Object is the name of the Festival, in the lease's namespace default.
	Object string
	Fence  bool
	Pause  time.Duration
	// Tell takes what it says; nil is [Say].
	Tell func(Line)

	objects dynamic.ResourceInterface
}

// patience is how long a write may take. It is longer than any lease: what
// becomes of late writes is the question.
const patience = 30 * time.Second

// NewWork prepares work through a server.
func NewWork(config *rest.Config, w Work) (*Work, error) {
	config = rest.CopyConfig(config)
	config.Timeout = patience
	config.Wrap(countTries)
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	festivals := schema.GroupVersionResource{Group: "innsmouth.example.com", Version: "v1", Resource: "festivals"}
	if w.Tell == nil {
		w.Tell = Say
	}
	w.objects = client.Resource(festivals).Namespace("default")
	return &w, nil
}

// Lead works until the context ends, in the term of a token.
func (w *Work) Lead(ctx context.Context, token int64) {
	if token == 0 {
		w.Tell(Line{Identity: w.Identity, Event: Wrote, Outcome: Refused, Message: "the lease has no fencing token"})
		return
	}
	for ctx.Err() == nil {
		time.Sleep(w.Pause) // thinks
		w.write(token)
	}
}

func (w *Work) write(token int64) {
	sent := Now()
	annotations := map[string]string{
		"example.com/holder": w.Identity,
		"example.com/token":  strconv.FormatInt(token, 10),
		"example.com/at":     strconv.FormatInt(sent, 10),
	}
	if w.Fence {
		annotations["helium.dev/fence"] = fmt.Sprintf("%s=%d", w.Lease, token)
	}
	line := Line{Identity: w.Identity, Event: Wrote, Token: token, Sent: sent}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		line.Outcome, line.Message = Refused, err.Error()
		w.Tell(line)
		return
	}
	tries := new(atomic.Int32)
	ctx := context.WithValue(context.Background(), triesKey{}, tries)
	written, err := w.objects.Patch(ctx, w.Object, types.MergePatchType, body, meta.PatchOptions{FieldManager: "work"})
	switch status := errors.APIStatus(nil); {
	case err == nil:
		line.Outcome = Accepted
		line.Revision, err = strconv.ParseInt(written.GetResourceVersion(), 10, 64)
		if err != nil {
			line.Message = err.Error()
		}
	case tries.Load() == 1 && asStatus(err, &status) && status.Status().Code >= 400 && status.Status().Code < 500:
		line.Outcome, line.Message = Refused, err.Error()
	default: // a gateway's 5xx says nothing about what is behind it, nor does the last answer of several
		line.Outcome, line.Message = Unknown, err.Error()
	}
	w.Tell(line)
}

// countTries counts the requests that client-go makes of one: it tries again by
// itself when a server says "later".
func countTries(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(request *http.Request) (*http.Response, error) {
		if tries, ok := request.Context().Value(triesKey{}).(*atomic.Int32); ok {
			tries.Add(1)
		}
		return next.RoundTrip(request)
	})
}

type triesKey struct{}

func asStatus(err error, status *errors.APIStatus) bool {
	found, ok := err.(errors.APIStatus)
	*status = found
	return ok
}
