package measure

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMedianIsTakenFigureByFigure(t *testing.T) {
	rounds := []Sample{
		{Rate: 100, P50: 3, P99: 30, Errors: 1, Error: "first"},
		{Rate: 300, P50: 1, P99: 90},
		{Rate: 200, P50: 2, P99: 10, Errors: 2, Error: "second"},
	}
	got := median(rounds)
	if want := (Sample{Rate: 200, P50: 2, P99: 30, Errors: 3, Error: "first"}); got != want {
		t.Errorf("%+v, expected %+v", got, want)
	}
	if rounds[0].Rate != 100 {
		t.Error("the rounds were put in another order")
	}
}

func TestPercentiles(t *testing.T) {
	var all []time.Duration
	for i := range 1000 {
		all = append(all, time.Duration(999-i))
	}
	if p50, p99 := percentiles(all); p50 != 500 || p99 != 990 {
		t.Errorf("p50 %d, p99 %d", p50, p99)
	}
	if p50, p99 := percentiles(nil); p50 != 0 || p99 != 0 {
		t.Errorf("of nothing: p50 %d, p99 %d", p50, p99)
	}
}

// rows is a result with a cell of requests and a cell of watches.
func rows() []Row {
	first := Row{Cell: "create", Clients: 64, System: "etcd", Median: Sample{Rate: 1000, P50: 2 * time.Millisecond, P99: 10 * time.Millisecond}}
	second := Row{Cell: "create", Clients: 64, System: "shim", Median: Sample{Rate: 12345, P50: time.Millisecond, P99: 20 * time.Millisecond}}
	watch := Row{Cell: "watch-other", Clients: 1, System: "shim", Median: Sample{P99: 4 * time.Millisecond,
		Commit: &Latency{time.Millisecond, 8 * time.Millisecond}, Sent: &Latency{2 * time.Millisecond, 12 * time.Millisecond}}}
	all := []Row{first, second, watch}
	compareWithFirst(all[:2])
	compareWithFirst(all[2:])
	return all
}

func TestRatiosReferToTheFirstSystem(t *testing.T) {
	all := rows()
	if r := all[0]; r.Ratio != 1 || r.P50Ratio != 1 || r.P99Ratio != 1 {
		t.Errorf("the first: %+v", r)
	}
	if r := all[1]; r.Ratio != 12.345 || r.P50Ratio != 0.5 || r.P99Ratio != 2 {
		t.Errorf("the second: %+v", r)
	}
	// Nothing is a share of nothing: a watch has no rate, and its p50 is 0.
	if r := all[2]; r.Ratio != 0 || r.P50Ratio != 0 || r.P99Ratio != 1 {
		t.Errorf("the watch: %+v", r)
	}
}

func TestMarkdown(t *testing.T) {
	var out strings.Builder
	if err := Print(&out, rows(), "markdown"); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for _, want := range []string{
		"| create | 64 | shim | 12,345 | 12.35 | 1.00 | 0.50 | 20.00 | 2.00 | 0 | – | – |",
		"| watch-other | shim | 1.00 | 8.00 | 0.00 | 4.00 | 1.00 | 12.00 | 1.50 | 0 |",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
	for _, line := range lines {
		if strings.HasPrefix(line, "| cell") && strings.Count(line, "|") != strings.Count(lines[slices.Index(lines, line)+1], "|") {
			t.Errorf("the rule below doesn't fit: %s", line)
		}
	}
}

func TestJSONCanBeReadBack(t *testing.T) {
	var out strings.Builder
	if err := Print(&out, rows(), "json"); err != nil {
		t.Fatal(err)
	}
	var back []Row
	if err := json.Unmarshal([]byte(out.String()), &back); err != nil {
		t.Fatal(err)
	}
	if len(back) != 3 || back[2].Median.Sent.P99 != 12*time.Millisecond {
		t.Errorf("%+v", back)
	}
}
