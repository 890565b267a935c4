package history

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"slices"
	"strings"
	"time"
)

// The picture's measures, in pixels.
const (
	left      = 190
	across    = 1200
	rowHeight = 13
	bandGap   = 26
	top       = 46
)

// colours of the clusters, readable on a light and on a dark ground.
var colours = []string{"#3b82c4", "#c4703b", "#4a9c5d", "#8a63b8"}

// bandLength is roughly what one band shows.
const bandLength = 4 * time.Minute

// Timeline draws who led when as SVG: bands of some minutes, in each a row for
// every lease and cluster. A bar is the time in which its leader may act, a
// thin line behind it a belief beyond; grey stripes are faults.
func Timeline(w io.Writer, h *History) error {
	p := printer{w: w}
	var clusters []string
	for _, run := range h.Runs {
		if !slices.Contains(clusters, run.Cluster) {
			clusters = append(clusters, run.Cluster)
		}
	}
	slices.Sort(clusters)
	leases := h.Leases()
	rows := len(leases) * len(clusters)
	total := max(time.Second, time.Duration(h.Ended-h.Began))
	bands := max(1, int(total.Round(bandLength)/bandLength))
	span := (total/time.Duration(bands) + time.Second).Truncate(time.Second)
	bandHeight := rows*rowHeight + bandGap
	height := top + bands*bandHeight
	p.line(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="10" fill="#666">`,
		left+across+20, height, left+across+20, height)
	p.line(`<rect width="100%%" height="100%%" fill="#fff"/>`)
	p.line(`<text x="8" y="18" font-size="14" fill="#222">%s</text>`, html.EscapeString(h.Title))
	for i, cluster := range clusters {
		p.line(`<rect x="%d" y="26" width="10" height="10" fill="%s"/><text x="%d" y="35">%s</text>`, 8+i*90, colours[i%len(colours)], 22+i*90, html.EscapeString(cluster))
	}
	p.line(`<rect x="%d" y="26" width="10" height="10" fill="#000" fill-opacity="0.12"/><text x="%d" y="35">a fault; thin: believed beyond the lease</text>`, 8+len(clusters)*90, 22+len(clusters)*90)

	c := canvas{p: &p, began: h.Began, span: int64(span), bandHeight: bandHeight}
	for band := range bands {
		y := top + band*bandHeight
		p.line(`<text x="%d" y="%d">%s</text>`, left, y-3, (span * time.Duration(band)).String())
		for i, lease := range leases {
			p.line(`<text x="8" y="%d">%s</text>`, y+i*len(clusters)*rowHeight+rowHeight*len(clusters)/2+4, html.EscapeString(lease))
			for k, cluster := range clusters {
				p.line(`<text x="%d" y="%d" text-anchor="end">%s</text>`, left-6, y+(i*len(clusters)+k)*rowHeight+10, html.EscapeString(cluster))
			}
			p.line(`<line x1="8" x2="%d" y1="%d" y2="%d" stroke="#ccc" stroke-width="0.5"/>`, left+across, y+i*len(clusters)*rowHeight, y+i*len(clusters)*rowHeight)
		}
	}
	for _, fault := range h.Faults {
		c.bar(fault.Began, max(fault.Ended, fault.Began+int64(300*time.Millisecond)), 0, rows*rowHeight,
			`fill="#000" fill-opacity="0.12"`, fault.Kind+": "+fault.Target)
	}
	for i, lease := range leases {
		for _, interval := range h.Intervals(lease) {
			k := slices.Index(clusters, interval.Run.Cluster)
			row := (i*len(clusters) + k) * rowHeight
			fill := fmt.Sprintf(`fill="%s"`, colours[k%len(colours)])
			title := fmt.Sprintf("%s, token %d", interval.Run.Identity, interval.Token)
			c.bar(interval.Start, interval.End, row+2, rowHeight-4, fill, title)
			if interval.Believed > interval.End {
				c.bar(interval.End, interval.Believed, row+rowHeight/2-1, 2, fill, title+", believed too long")
			}
		}
	}
	p.line("</svg>")
	return p.err
}

// canvas knows where a time lies.
type canvas struct {
	p          *printer
	began      int64
	span       int64 // of one band
	bandHeight int
}

// bar draws a time, in as many bands as it lasts.
func (c *canvas) bar(from, to int64, y, height int, style, title string) {
	for from < to {
		band := (from - c.began) / c.span
		end := min(to, c.began+(band+1)*c.span)
		x := func(at int64) float64 {
			return left + float64(at-c.began-band*c.span)/float64(c.span)*across
		}
		c.p.line(`<rect x="%.1f" y="%d" width="%.1f" height="%d" %s><title>%s</title></rect>`,
			x(from), top+int(band)*c.bandHeight+y, max(0.5, x(end)-x(from)), height, style, html.EscapeString(strings.TrimSpace(title)))
		from = end
	}
}

// sortBy sorts by a key, and keeps the order of what is equal.
func sortBy[T any, K cmp.Ordered](all []T, key func(T) K) {
	slices.SortStableFunc(all, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
}
