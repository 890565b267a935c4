// Package measure drives servers of the etcd API with one workload (a cell) at
// a time and compares them.
//
// Absolute figures depend on the machine; ratios of one run are what counts.
// So the systems take turns, cell by cell and round by round (A B C B C A …),
// only one is driven at a time, and every figure is the median of the rounds.
package measure

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"helium.dev/tests/harness"
)

// System is one thing that is measured: the instances of one store.
type System struct {
	Name string
	// Addresses are its client addresses; clients are spread over them.
	Addresses []string
	// WatchAddress is where the cell watch-other watches, while it writes
	// through the first of Addresses. Empty: the last of Addresses, if there
	// are several.
	WatchAddress string
	// PIDs are its processes, for their CPU time (descendants are included).
	PIDs []int

	runs int // how many cells ran on it: part of their keys
}

// Options say how much is measured.
type Options struct {
	Cells    []string
	Clients  []int
	Duration time.Duration // of one cell in one round
	Rounds   int
	Value    int // bytes
	Keys     int // stored keys that the cells get and page read
	// Progress is called before every measurement.
	Progress func(text string)
}

// Sample is what one round of one cell on one system gave.
type Sample struct {
	Rate      float64       `json:"rate"` // answered requests per second
	P50       time.Duration `json:"p50_ns"`
	P99       time.Duration `json:"p99_ns"`
	Errors    int           `json:"errors"`
	Error     string        `json:"error,omitempty"` // the first one's text
	ServerCPU time.Duration `json:"server_cpu_ns"`   // per request
	ClientCPU time.Duration `json:"client_cpu_ns"`   // per request
	// Commit is, for watch cells, how long the writes themselves took, from
	// sending to acknowledgement. P50 and P99 are then the delay of the event
	// behind the acknowledgement, which is later than the commit by the way of
	// an answer; Sent is counted from the sending, which is earlier. The delay
	// behind the commit itself lies between the two.
	Commit *Latency `json:"commit,omitempty"`
	Sent   *Latency `json:"since_sent,omitempty"`
}

// Latency is a distribution in two figures.
type Latency struct {
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
}

// Row is one cell on one system: the rounds, and their median figure by figure.
type Row struct {
	Cell    string   `json:"cell"`
	Clients int      `json:"clients"`
	System  string   `json:"system"`
	Median  Sample   `json:"median"`
	Rounds  []Sample `json:"rounds"`
	// Ratio is the rate as a share of the first system's in this cell (more is
	// better); 0 where no rate is measured.
	Ratio float64 `json:"ratio"`
	// P50Ratio and P99Ratio are the latencies as shares of the first system's
	// (less is better); 0 where the first system's is.
	P50Ratio float64 `json:"p50_ratio"`
	P99Ratio float64 `json:"p99_ratio"`
}

// Run measures everything. A cell that fails altogether on one system is a row
// with errors and rate 0; only a system that can't be prepared ends the run.
func Run(ctx context.Context, systems []*System, o Options) ([]Row, error) {
	var rows []Row
	for _, name := range o.Cells {
		cell, ok := cells[name]
		if !ok {
			return nil, fmt.Errorf("unknown cell %q: expected one of %v", name, CellNames)
		}
		clients := o.Clients
		if cell.watch {
			clients = []int{1}
		}
		for _, count := range clients {
			block, err := runCell(ctx, systems, cell, count, o)
			if err != nil {
				return rows, err
			}
			rows = append(rows, block...)
		}
	}
	return rows, nil
}

func runCell(ctx context.Context, systems []*System, c cell, clients int, o Options) ([]Row, error) {
	var rows []Row
	var taking []*System
	for _, system := range systems {
		if c.other && system.watchAddress() == "" {
			continue
		}
		taking = append(taking, system)
		rows = append(rows, Row{Cell: c.name, Clients: clients, System: system.Name})
	}
	for round := range o.Rounds {
		for turn := range taking {
			// Each round begins with another system, so that none always has the same place.
			i := (turn + round) % len(taking)
			system := taking[i]
			if o.Progress != nil {
				o.Progress(fmt.Sprintf("%-11s %4d clients  round %d  %s", c.name, clients, round+1, system.Name))
			}
			sample, err := measureOne(ctx, system, c, clients, o)
			if err != nil {
				return nil, fmt.Errorf("%s on %s: %w", c.name, system.Name, err)
			}
			rows[i].Rounds = append(rows[i].Rounds, sample)
		}
	}
	for i := range rows {
		rows[i].Median = median(rows[i].Rounds)
	}
	compareWithFirst(rows)
	return rows, nil
}

// compareWithFirst fills in the ratios of the rows of one cell.
func compareWithFirst(rows []Row) {
	for i := range rows {
		first, m := rows[0].Median, rows[i].Median
		rows[i].Ratio = share(m.Rate, first.Rate)
		rows[i].P50Ratio = share(float64(m.P50), float64(first.P50))
		rows[i].P99Ratio = share(float64(m.P99), float64(first.P99))
	}
}

// share is a part of a whole, 0 if there is no whole.
func share(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return part / whole
}

func (s *System) watchAddress() string {
	if s.WatchAddress == "" && len(s.Addresses) > 1 {
		return s.Addresses[len(s.Addresses)-1]
	}
	return s.WatchAddress
}

// connections is how many connections a number of clients shares: as many as
// Kubernetes' API servers of that size would have, 50 at 1,000 clients.
func connections(clients int) int { return min(50, (clients+7)/8) }

func connect(addresses []string, count int) ([]*clientv3.Client, func(), error) {
	var all []*clientv3.Client
	closeAll := func() {
		for _, c := range all {
			c.Close()
		}
	}
	for i := range count {
		c, err := clientv3.New(clientv3.Config{
			Endpoints:   []string{addresses[i%len(addresses)]},
			DialTimeout: 10 * time.Second,
			Logger:      zap.NewNop(),
		})
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		all = append(all, c)
	}
	return all, closeAll, nil
}

// measureOne runs a cell on a system for one round.
func measureOne(ctx context.Context, system *System, c cell, clients int, o Options) (Sample, error) {
	system.runs++
	connections, closeAll, err := connect(system.Addresses, connections(clients))
	if err != nil {
		return Sample{}, err
	}
	defer closeAll()
	load := &load{
		options: o, system: system, connections: connections, clients: clients,
		prefix: fmt.Sprintf("/bench/%s/%d/", c.name, system.runs),
	}
	if err := c.prepare(ctx, load); err != nil {
		return Sample{}, fmt.Errorf("preparing: %w", err)
	}
	if c.watch {
		return watchLatency(ctx, load, c.other)
	}
	return drive(ctx, load, c)
}

// drive lets every client send one request after another. A tenth of the
// duration passes before anything is counted.
func drive(ctx context.Context, l *load, c cell) (Sample, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	warm := l.options.Duration / 10
	begin := time.Now().Add(warm)
	end := begin.Add(l.options.Duration)

	type outcome struct {
		answered  int // within the time that is measured
		latencies []time.Duration
		errors    int
		first     error
	}
	outcomes := make([]outcome, l.clients)
	var workers sync.WaitGroup
	for i := range l.clients {
		workers.Go(func() {
			request := c.client(l, i)
			o := &outcomes[i]
			for ctx.Err() == nil {
				sent := time.Now()
				if sent.After(end) {
					return
				}
				bounded, cancel := context.WithTimeout(ctx, 30*time.Second)
				err := request(bounded, l.connections[i%len(l.connections)])
				cancel()
				done := time.Now()
				switch {
				case err != nil:
					o.errors++
					if o.first == nil {
						o.first = err
					}
					if o.errors > 100 {
						return // it doesn't work here at all
					}
				default:
					if done.After(begin) && done.Before(end) {
						o.answered++
					}
					// The slowest are answered after the end: they count here.
					if sent.After(begin) {
						o.latencies = append(o.latencies, done.Sub(sent))
					}
				}
			}
		})
	}
	time.Sleep(time.Until(begin))
	server, client := l.system.cpu(), ownCPU()
	time.Sleep(time.Until(end))
	server, client = l.system.cpu()-server, ownCPU()-client
	workers.Wait()

	var sample Sample
	var latencies []time.Duration
	answered := 0
	for _, o := range outcomes {
		answered += o.answered
		latencies = append(latencies, o.latencies...)
		sample.Errors += o.errors
		if sample.Error == "" && o.first != nil {
			sample.Error = o.first.Error()
		}
	}
	sample.Rate = float64(answered) / l.options.Duration.Seconds()
	sample.P50, sample.P99 = percentiles(latencies)
	if n := time.Duration(answered); n > 0 {
		sample.ServerCPU, sample.ClientCPU = server/n, client/n
	}
	return sample, nil
}

func (s *System) cpu() time.Duration {
	var total time.Duration
	for _, pid := range s.PIDs {
		total += harness.CPU(pid)
	}
	return total
}

func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func percentiles(latencies []time.Duration) (p50, p99 time.Duration) {
	if len(latencies) == 0 {
		return 0, 0
	}
	slices.Sort(latencies)
	return latencies[len(latencies)/2], latencies[len(latencies)*99/100]
}

func median(samples []Sample) Sample {
	return Sample{
		Rate:      middle(samples, func(s Sample) float64 { return s.Rate }),
		P50:       middle(samples, func(s Sample) time.Duration { return s.P50 }),
		P99:       middle(samples, func(s Sample) time.Duration { return s.P99 }),
		ServerCPU: middle(samples, func(s Sample) time.Duration { return s.ServerCPU }),
		ClientCPU: middle(samples, func(s Sample) time.Duration { return s.ClientCPU }),
		Errors:    sum(samples),
		Error:     firstError(samples),
		Commit:    middleLatency(samples, func(s Sample) *Latency { return s.Commit }),
		Sent:      middleLatency(samples, func(s Sample) *Latency { return s.Sent }),
	}
}

// middleLatency is the median of the rounds that measured it, if any did.
func middleLatency(samples []Sample, figure func(Sample) *Latency) *Latency {
	samples = slices.DeleteFunc(slices.Clone(samples), func(s Sample) bool { return figure(s) == nil })
	if len(samples) == 0 {
		return nil
	}
	return &Latency{
		P50: middle(samples, func(s Sample) time.Duration { return figure(s).P50 }),
		P99: middle(samples, func(s Sample) time.Duration { return figure(s).P99 }),
	}
}

func middle[T float64 | time.Duration](samples []Sample, figure func(Sample) T) T {
	var all []T
	for _, s := range samples {
		all = append(all, figure(s))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func sum(samples []Sample) (errors int) {
	for _, s := range samples {
		errors += s.Errors
	}
	return errors
}

func firstError(samples []Sample) string {
	for _, s := range samples {
		if s.Error != "" {
			return s.Error
		}
	}
	return ""
}
