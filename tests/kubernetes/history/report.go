package history

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Report writes what happened, and the judgement, as Markdown. picture is the
// name of the file beside it that [Timeline] wrote.
func Report(w io.Writer, h *History, picture string) error {
	f, found := Measure(h), Judge(h)
	p := printer{w: w}
	p.line("# %s", h.Title)
	p.line("")
	p.line("%s, %.0f minutes, seed %d. Leases of %v. Written by the run itself; the rules are in `tests/kubernetes/history`.",
		h.Wall.UTC().Format("2 January 2006 15:04 MST"), time.Duration(h.Ended-h.Began).Minutes(), h.Seed, h.Lease)
	p.line("")
	p.line("![Who led when](%s)", picture)
	p.line("")
	p.line("## Judgement")
	p.line("")
	if len(found) == 0 {
		p.line("No rule was broken: one leader of each lease at a time, tokens that grow, no stale write accepted, no acknowledged write lost.")
	}
	for _, finding := range found {
		p.line("- **%s**: lease %s: %s", finding.Rule, finding.Lease, finding.Text)
	}
	p.line("")
	p.line("| leases | terms | changes of leader | writes accepted | refused by the fence | refused otherwise | outcome unknown |")
	p.line("|---:|---:|---:|---:|---:|---:|---:|")
	p.line("| %d | %d | %d | %d | %d | %d | %d |", len(h.Leases()), f.Terms, f.Takeovers, f.Accepted, f.Stale, f.Refused-f.Stale, f.Unknown)
	p.line("")
	if n := len(f.Gaps); n > 0 {
		p.line("Between two leaders of a lease nobody led for %.1f s in the median, %.1f s at most.", f.Gaps[n/2].Seconds(), f.Gaps[n-1].Seconds())
		p.line("")
	}
	p.faults(h)
	p.line("## Who led")
	p.line("")
	p.line("| program | times | believed too long | while another led | longest, s |")
	p.line("|---|---:|---:|---:|---:|")
	for _, program := range sorted(f.ByProgram) {
		p.line("| %s | %d | %d | %d | %.1f |", program, f.ByProgram[program], f.Overstayed[program], f.Overlapped[program], f.LongestOverstay[program].Seconds())
	}
	p.line("")
	p.line("*Believed too long*: it went on believing when its last acknowledged renewal was older than the lease, since it was paused, or waited for an")
	p.line("answer without a timeout. That is the part that no lease can prevent, and the reason for fences.")
	p.line("")
	p.line("| cluster | times |")
	p.line("|---|---:|")
	for _, cluster := range sorted(f.ByCluster) {
		p.line("| %s | %d |", cluster, f.ByCluster[cluster])
	}
	p.line("")
	p.intervals(h)
	return p.err
}

func (p *printer) faults(h *History) {
	counts, longest := map[string]int{}, map[string]int64{}
	for _, fault := range h.Faults {
		counts[fault.Kind]++
		longest[fault.Kind] = max(longest[fault.Kind], fault.Ended-fault.Began)
	}
	p.line("## %d faults", len(h.Faults))
	p.line("")
	p.line("| fault | times | longest, s |")
	p.line("|---|---:|---:|")
	for _, kind := range sorted(counts) {
		p.line("| %s | %d | %.1f |", kind, counts[kind], time.Duration(longest[kind]).Seconds())
	}
	p.line("")
}

// intervals lists everything in the order of time, faults between the terms.
func (p *printer) intervals(h *History) {
	p.line("## The log")
	p.line("")
	p.line("Seconds from the beginning. `led until` is the end of the time in which nobody else may lead; `believed until` is when the program")
	p.line("stopped believing, if that was later.")
	p.line("")
	p.line("```")
	type entry struct {
		at   int64
		text string
	}
	var all []entry
	at := func(boot int64) float64 { return time.Duration(boot - h.Began).Seconds() }
	for _, fault := range h.Faults {
		all = append(all, entry{fault.Began, fmt.Sprintf("%8.3f  fault  %s: %s, until %.3f", at(fault.Began), fault.Kind, fault.Target, at(fault.Ended))})
	}
	for _, lease := range h.Leases() {
		for _, i := range h.Intervals(lease) {
			text := fmt.Sprintf("%8.3f  %s: %s at token %d, led until %.3f", at(i.Start), lease, i.Run.Identity, i.Token, at(i.End))
			if i.Believed > i.End {
				text += fmt.Sprintf(", believed until %.3f", at(i.Believed))
			}
			all = append(all, entry{i.Start, text})
		}
	}
	sortBy(all, func(e entry) int64 { return e.at })
	for _, e := range all {
		p.line("%s", e.text)
	}
	p.line("```")
}

// printer writes lines until one fails.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, arguments ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, strings.TrimRight(fmt.Sprintf(format, arguments...), " "))
	}
}
