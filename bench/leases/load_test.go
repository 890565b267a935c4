package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// leaseServer keeps leases as an API server does, as far as the load needs it,
// and takes its time for some.
type leaseServer struct {
	mu      sync.Mutex
	version int
	leases  map[string]int
	slow    func(version int) time.Duration
}

func (s *leaseServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var lease struct {
		Metadata struct{ Name, ResourceVersion string }
	}
	body := map[string]any{}
	text := json.NewDecoder(r.Body)
	if err := text.Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	again, _ := json.Marshal(body)
	_ = json.Unmarshal(again, &lease)
	s.mu.Lock()
	defer s.mu.Unlock()
	name := lease.Metadata.Name
	if r.Method == http.MethodPut && fmt.Sprint(s.leases[name]) != lease.Metadata.ResourceVersion {
		http.Error(w, "the version isn't the present one", http.StatusConflict)
		return
	}
	s.version++
	time.Sleep(s.slow(s.version))
	s.leases[name] = s.version
	body["metadata"].(map[string]any)["resourceVersion"] = fmt.Sprint(s.version)
	_ = json.NewEncoder(w).Encode(body)
}

func start(t *testing.T, slow func(int) time.Duration) *load {
	t.Helper()
	server := httptest.NewTLSServer(&leaseServer{leases: map[string]int{}, slow: slow})
	t.Cleanup(server.Close)
	s := &system{name: "test", group: "coordination.k8s.io", tls: &tls.Config{InsecureSkipVerify: true}, servers: []string{strings.TrimPrefix(server.URL, "https://")}}
	l, err := newLoad(t.Context(), s, 10, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestEachLeaseIsRenewedInItsTime(t *testing.T) {
	l := start(t, func(int) time.Duration { return 0 })
	sample := l.round(t.Context(), time.Second)
	if sample.Errors > 0 || sample.Renewals < 95 || sample.Renewals > 105 {
		t.Errorf("10 leases, ten times in a second: %+v", sample)
	}
}

// A stall of the server counts for everything that was due meanwhile.
func TestWhatIsLateIsCountedFromWhenItWasDue(t *testing.T) {
	stalled := false
	l := start(t, func(version int) time.Duration {
		if version > 60 && !stalled {
			stalled = true
			return 500 * time.Millisecond
		}
		return 0
	})
	sample := l.round(t.Context(), time.Second)
	if sample.P99 < 300*time.Millisecond || sample.Max < 450*time.Millisecond {
		t.Errorf("a stall of 500 ms: %+v", sample)
	}
}

func TestRefusedRenewalsAreErrors(t *testing.T) {
	l := start(t, func(int) time.Duration { return 0 })
	l.owners[0].lease["metadata"].(map[string]any)["resourceVersion"] = "1000"
	sample := l.round(t.Context(), 300*time.Millisecond)
	if sample.Errors == 0 || !strings.Contains(sample.Error, "409") {
		t.Errorf("%+v", sample)
	}
}

func TestReport(t *testing.T) {
	round := Sample{Renewals: 100, P50: time.Millisecond, P99: 4 * time.Millisecond, Max: 5 * time.Millisecond, Cores: map[string]float64{"a": 0.25, "b": 0.5}}
	half := round
	half.P99, half.Cores = 8*time.Millisecond, map[string]float64{"c": 1.5}
	r := Result{Leases: 10, Every: time.Second, Duration: 10 * time.Second, Systems: []SystemResult{{"ours", []Sample{round}}, {"theirs", []Sample{half}}}}
	var text strings.Builder
	if err := r.print(&text, "markdown", ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| ours | 10 | 1.0 | 4.0 | 5.0 | 0 | 0.75 | a 0.25, b 0.50 |", "p99 0.50, cores 0.50"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &text)
		}
	}
}
