package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"helium.dev/tests/harness"
)

// load are the leases of one system and those who renew them.
type load struct {
	system *system
	every  time.Duration
	owners []*owner
}

// owner is a cluster's agent, as far as its lease goes.
type owner struct {
	client  *http.Client
	url     string
	lease   map[string]any
	samples []time.Duration
	errors  []error
}

// setUpAtOnce bounds how many leases are created at the same time.
const setUpAtOnce = 16

// newLoad creates the leases.
func newLoad(ctx context.Context, s *system, leases int, every time.Duration) (*load, error) {
	l := &load{system: s, every: every, owners: make([]*owner, leases)}
	errs := make([]error, leases)
	var creating sync.WaitGroup
	slots := make(chan struct{}, setUpAtOnce)
	for i := range leases {
		transport := &http.Transport{TLSClientConfig: s.tls.Clone(), ForceAttemptHTTP2: true, DisableCompression: true}
		collection := fmt.Sprintf("https://%s/apis/%s/v1/namespaces/default/leases", s.servers[i%len(s.servers)], s.group)
		name := fmt.Sprintf("member-%04d", i)
		o := &owner{client: &http.Client{Transport: transport, Timeout: 30 * time.Second}, url: collection + "/" + name}
		l.owners[i] = o
		o.lease = map[string]any{
			"apiVersion": s.group + "/v1", "kind": "Lease",
			"metadata": map[string]any{"name": name, "namespace": "default"},
			"spec":     map[string]any{"holderIdentity": name, "leaseDurationSeconds": 15, "acquireTime": microTime(), "renewTime": microTime()},
		}
		creating.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = o.send(ctx, http.MethodPost, collection)
		})
	}
	creating.Wait()
	return l, errors.Join(errs...)
}

func microTime() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000000Z") }

// send writes the lease as it is here, and keeps what is answered.
func (o *owner) send(ctx context.Context, method, url string) error {
	body, err := json.Marshal(o.lease)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	response, err := o.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, url, response.Status, answer)
	}
	o.lease = map[string]any{}
	return json.Unmarshal(answer, &o.lease)
}

// renew renews with a compare on the version that was last answered.
func (o *owner) renew(ctx context.Context) error {
	spec, ok := o.lease["spec"].(map[string]any)
	if !ok {
		return fmt.Errorf("%s has no spec", o.url)
	}
	spec["renewTime"] = microTime()
	return o.send(ctx, http.MethodPut, o.url)
}

// Sample is one round of one system.
type Sample struct {
	Renewals int           `json:"renewals"`
	P50      time.Duration `json:"p50_ns"`
	P99      time.Duration `json:"p99_ns"`
	Max      time.Duration `json:"max_ns"`
	Errors   int           `json:"errors"`
	Error    string        `json:"error,omitempty"`
	// Cores is the processor time of each part, as a share of the round.
	Cores  map[string]float64 `json:"cores"`
	Client float64            `json:"client_cores"`
}

// round renews all leases for a while, each at its own moment of the period,
// and one period longer than it counts.
func (l *load) round(ctx context.Context, duration time.Duration) Sample {
	began := time.Now().Add(100 * time.Millisecond)
	counted := began.Add(l.every)
	end := counted.Add(duration)
	var renewing sync.WaitGroup
	for i, o := range l.owners {
		first := began.Add(l.every * time.Duration(i) / time.Duration(len(l.owners)))
		renewing.Go(func() { o.keep(ctx, first, counted, end, l.every) })
	}
	time.Sleep(time.Until(counted))
	servers, client := l.system.cpu(), ownCPU()
	time.Sleep(time.Until(end))
	sample := Sample{Cores: map[string]float64{}, Client: (ownCPU() - client).Seconds() / duration.Seconds()}
	for name, used := range l.system.cpu() {
		sample.Cores[name] = (used - servers[name]).Seconds() / duration.Seconds()
	}
	renewing.Wait()

	var all []time.Duration
	for _, o := range l.owners {
		all = append(all, o.samples...)
		sample.Errors += len(o.errors)
		if len(o.errors) > 0 && sample.Error == "" {
			sample.Error = o.errors[0].Error()
		}
		o.samples, o.errors = nil, nil
	}
	sample.Renewals = len(all)
	if len(all) > 0 {
		slices.Sort(all)
		sample.P50, sample.P99, sample.Max = all[len(all)/2], all[len(all)*99/100], all[len(all)-1]
	}
	return sample
}

// keep renews at each due time. What is late isn't skipped: it is renewed at
// once, and its time is counted from when it was due.
func (o *owner) keep(ctx context.Context, first, counted, end time.Time, every time.Duration) {
	for due := first; due.Before(end) && ctx.Err() == nil; due = due.Add(every) {
		time.Sleep(time.Until(due))
		err := o.renew(ctx)
		if due.Before(counted) {
			continue
		}
		if err != nil {
			o.errors = append(o.errors, err)
			continue
		}
		o.samples = append(o.samples, time.Since(due))
	}
}

func (s *system) cpu() map[string]time.Duration {
	all := map[string]time.Duration{}
	for _, p := range s.parts {
		for _, pid := range p.pids {
			all[p.name] += harness.CPU(pid)
		}
	}
	return all
}

func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
