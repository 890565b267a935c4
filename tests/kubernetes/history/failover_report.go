package history

import (
	"fmt"
	"html"
	"io"
	"slices"
	"time"

	"helium.dev/tests/kubernetes/trace"
)

// FailoverFigures are what a group's history says beyond right and wrong.
type FailoverFigures struct {
	Terms, Takeovers         int
	ByCluster                map[string]int
	Accepted, Stale, Unknown int
	// Excused are the overlaps of a fast group whose older agent was kept from
	// stopping, and the longest of them.
	Excused int
	Longest time.Duration
	// Gaps are the times in which no cluster had anything of the payload.
	Gaps []time.Duration
}

// MeasureFailover counts what happened to a group.
func MeasureFailover(f *Failover, g *Group) FailoverFigures {
	figures := FailoverFigures{Terms: len(g.Terms), ByCluster: map[string]int{}}
	for i, term := range g.Terms {
		figures.ByCluster[term.Holder]++
		if i > 0 && g.Terms[i-1].Holder != term.Holder {
			figures.Takeovers++
		}
	}
	for _, worker := range g.Workers {
		for _, line := range worker.Lines {
			switch {
			case line.Event != trace.Wrote:
			case line.Outcome == trace.Accepted:
				figures.Accepted++
			case line.Outcome == trace.Refused:
				figures.Stale++
			default:
				figures.Unknown++
			}
		}
	}
	for _, overlap := range f.Overlaps(g) {
		if overlap.Excuse != "" {
			figures.Excused++
			figures.Longest = max(figures.Longest, overlap.Lasted)
		}
	}
	var end int64
	for i, p := range g.presences(false) {
		if i > 0 && end != 0 && p.Seen > end {
			figures.Gaps = append(figures.Gaps, time.Duration(p.Seen-end))
		}
		if p.Gone == 0 {
			end = f.Ended
		} else {
			end = max(end, p.Gone)
		}
	}
	slices.Sort(figures.Gaps)
	return figures
}

// FailoverReport writes what happened, and the judgement, as Markdown. picture
// is the name of the file beside it that [FailoverTimeline] wrote.
func FailoverReport(w io.Writer, f *Failover, picture string) error {
	p := printer{w: w}
	p.line("# %s", f.Title)
	p.line("")
	p.line("%s, %.0f minutes, seed %d. Written by the run itself; the rules are in `tests/kubernetes/history/failover.go`.",
		f.Wall.UTC().Format("2 January 2006 15:04 MST"), time.Duration(f.Ended-f.Began).Minutes(), f.Seed)
	p.line("")
	p.line("![Where the payload was](%s)", picture)
	p.line("")
	p.line("## Judgement")
	p.line("")
	found := JudgeFailover(f)
	if len(found) == 0 {
		p.line("No rule was broken: no payload in two clusters, no early takeover, every stop true, the record equal to the lease at every")
		p.line("revision, growing tokens, no stale write accepted, and one leader with its payload in the end.")
	}
	for _, finding := range found {
		p.line("- **%s**: %s: %s", finding.Rule, finding.Lease, finding.Text)
	}
	p.line("")
	p.line("| group | mode | terms | changes of cluster | writes accepted | refused by the fence | outcome unknown | overlaps that fast mode allows | longest, s | without payload: median, s | longest, s |")
	p.line("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for i := range f.Groups {
		g := &f.Groups[i]
		m := MeasureFailover(f, g)
		var median, longest time.Duration
		if n := len(m.Gaps); n > 0 {
			median, longest = m.Gaps[n/2], m.Gaps[n-1]
		}
		p.line("| %s | %s | %d | %d | %d | %d | %d | %d | %.1f | %.1f | %.1f |", g.Name, g.Mode, m.Terms, m.Takeovers, m.Accepted, m.Stale, m.Unknown,
			m.Excused, m.Longest.Seconds(), median.Seconds(), longest.Seconds())
	}
	p.line("")
	p.line("*Overlaps that fast mode allows*: objects were still there when a successor started, since a fault kept the agent of their cluster from")
	p.line("removing them. What their pods wrote to shared objects meanwhile, the fence refused.")
	p.line("")
	(&p).faults(&History{Faults: f.Faults})
	p.failoverLog(f)
	return p.err
}

// failoverLog lists everything in the order of time, faults between the terms.
func (p *printer) failoverLog(f *Failover) {
	p.line("## The log")
	p.line("")
	p.line("Seconds from the beginning.")
	p.line("")
	p.line("```")
	type entry struct {
		at   int64
		text string
	}
	var all []entry
	at := func(boot int64) float64 { return time.Duration(boot - f.Began).Seconds() }
	add := func(boot int64, format string, arguments ...any) {
		all = append(all, entry{boot, fmt.Sprintf("%8.3f  ", at(boot)) + fmt.Sprintf(format, arguments...)})
	}
	for _, fault := range f.Faults {
		add(fault.Began, "fault  %s: %s, until %.3f", fault.Kind, fault.Target, at(fault.Ended))
	}
	for i := range f.Groups {
		g := &f.Groups[i]
		holder := ""
		for _, state := range g.Leases {
			switch {
			case state.Holder == holder:
			case state.Holder == "":
				add(state.At, "%s: given up at @%d, %s", g.Name, state.Revision, state.Reason)
			default:
				add(state.At, "%s: %s has the lease with token %d, %s", g.Name, state.Holder, g.tokenAt(state.Revision), state.Reason)
			}
			holder = state.Holder
		}
		for _, presence := range g.presences(g.Mode == Strict) {
			until := "the end"
			if presence.Gone != 0 {
				until = fmt.Sprintf("%.3f", at(presence.Gone))
			}
			add(presence.Seen, "%s: payload in %s with token %d until %s", g.Name, presence.Cluster, presence.Token, until)
		}
		for _, overlap := range f.Overlaps(g) {
			add(f.Ended, "%s: %s", g.Name, overlap)
		}
	}
	sortBy(all, func(e entry) int64 { return e.at })
	for _, e := range all {
		p.line("%s", e.text)
	}
	p.line("```")
}

// FailoverTimeline draws in which cluster each payload was when, as SVG: bands of some
// minutes, in each a row for every group and cluster. A bar is the time in
// which the payload's objects exist, a thin line the lease; grey stripes are faults.
func FailoverTimeline(w io.Writer, f *Failover) error {
	p := printer{w: w}
	var clusters []string
	for _, g := range f.Groups {
		for _, term := range g.Terms {
			if !slices.Contains(clusters, term.Holder) {
				clusters = append(clusters, term.Holder)
			}
		}
	}
	slices.Sort(clusters)
	rows := len(f.Groups) * len(clusters)
	total := max(time.Second, time.Duration(f.Ended-f.Began))
	bands := max(1, int(total.Round(bandLength)/bandLength))
	span := (total/time.Duration(bands) + time.Second).Truncate(time.Second)
	bandHeight := rows*rowHeight + bandGap
	height := top + bands*bandHeight
	p.line(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="10" fill="#666">`,
		left+across+20, height, left+across+20, height)
	p.line(`<rect width="100%%" height="100%%" fill="#fff"/>`)
	p.line(`<text x="8" y="18" font-size="14" fill="#222">%s</text>`, html.EscapeString(f.Title))
	for i, cluster := range clusters {
		p.line(`<rect x="%d" y="26" width="10" height="10" fill="%s"/><text x="%d" y="35">%s</text>`, 8+i*90, colours[i%len(colours)], 22+i*90, html.EscapeString(cluster))
	}
	p.line(`<rect x="%d" y="26" width="10" height="10" fill="#000" fill-opacity="0.12"/><text x="%d" y="35">a fault; thin: has the lease; wide: the payload is there</text>`, 8+len(clusters)*90, 22+len(clusters)*90)
	c := canvas{p: &p, began: f.Began, span: int64(span), bandHeight: bandHeight}
	for band := range bands {
		y := top + band*bandHeight
		p.line(`<text x="%d" y="%d">%s</text>`, left, y-3, (span * time.Duration(band)).String())
		for i, g := range f.Groups {
			p.line(`<text x="8" y="%d">%s</text>`, y+i*len(clusters)*rowHeight+rowHeight*len(clusters)/2+4, html.EscapeString(g.Name))
			for k, cluster := range clusters {
				p.line(`<text x="%d" y="%d" text-anchor="end">%s</text>`, left-6, y+(i*len(clusters)+k)*rowHeight+10, html.EscapeString(cluster))
			}
			p.line(`<line x1="8" x2="%d" y1="%d" y2="%d" stroke="#ccc" stroke-width="0.5"/>`, left+across, y+i*len(clusters)*rowHeight, y+i*len(clusters)*rowHeight)
		}
	}
	for _, fault := range f.Faults {
		c.bar(fault.Began, max(fault.Ended, fault.Began+int64(300*time.Millisecond)), 0, rows*rowHeight,
			`fill="#000" fill-opacity="0.12"`, fault.Kind+": "+fault.Target)
	}
	for i := range f.Groups {
		g := &f.Groups[i]
		row := func(cluster string) int { return (i*len(clusters) + slices.Index(clusters, cluster)) * rowHeight }
		fill := func(cluster string) string {
			return fmt.Sprintf(`fill="%s"`, colours[max(0, slices.Index(clusters, cluster))%len(colours)])
		}
		for k, state := range g.Leases {
			if state.Holder == "" || slices.Index(clusters, state.Holder) < 0 {
				continue
			}
			until := f.Ended
			if k+1 < len(g.Leases) {
				until = g.Leases[k+1].At
			}
			c.bar(state.At, until, row(state.Holder)+rowHeight/2-1, 2, fill(state.Holder), fmt.Sprintf("lease of %s", state.Holder))
		}
		for _, presence := range g.presences(false) {
			until := presence.Gone
			if until == 0 {
				until = f.Ended
			}
			c.bar(presence.Seen, until, row(presence.Cluster)+2, rowHeight-4, fill(presence.Cluster), fmt.Sprintf("%s, token %d", presence.Cluster, presence.Token))
		}
	}
	p.line("</svg>")
	return p.err
}
