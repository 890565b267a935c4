package measure

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Formats are the ways in which rows can be printed.
var Formats = []string{"table", "markdown", "json"}

// Print writes the rows in a format.
func Print(w io.Writer, rows []Row, format string) error {
	switch format {
	case "json":
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(rows)
	case "markdown":
		return printLines(w, rows, func(w io.Writer, columns []string) {
			fmt.Fprintf(w, "| %s |\n", strings.Join(columns, " | "))
		}, true)
	case "table":
		aligned := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		err := printLines(aligned, rows, func(w io.Writer, columns []string) {
			fmt.Fprintf(w, "%s\t\n", strings.Join(columns, "\t"))
		}, false)
		if err != nil {
			return err
		}
		return aligned.Flush()
	default:
		return fmt.Errorf("unknown format %q: expected one of %v", format, Formats)
	}
}

// printLines prints the requests of all cells and then the watches, whose
// figures are others.
func printLines(w io.Writer, rows []Row, line func(io.Writer, []string), rule bool) error {
	var requests, watches []Row
	for _, row := range rows {
		if row.Median.Commit == nil {
			requests = append(requests, row)
		} else {
			watches = append(watches, row)
		}
	}
	header := func(names ...string) {
		line(w, names)
		if !rule {
			return
		}
		marks := slices.Repeat([]string{"---:"}, len(names))
		for i, name := range names {
			if name == "cell" || name == "system" {
				marks[i] = "---"
			}
		}
		line(w, marks)
	}
	if len(requests) > 0 {
		header("cell", "clients", "system", "requests/s", "ratio", "p50 ms", "ratio", "p99 ms", "ratio", "errors", "server µs", "client µs")
	}
	for _, row := range requests {
		m := row.Median
		line(w, []string{row.Cell, fmt.Sprint(row.Clients), row.System, thousands(m.Rate), ratio(row.Ratio), milliseconds(m.P50), ratio(row.P50Ratio),
			milliseconds(m.P99), ratio(row.P99Ratio), fmt.Sprint(m.Errors), microseconds(m.ServerCPU), microseconds(m.ClientCPU)})
	}
	if len(requests) > 0 && len(watches) > 0 {
		fmt.Fprintln(w)
	}
	if len(watches) > 0 {
		header("cell", "system", "write p50 ms", "write p99 ms", "event p50 ms", "event p99 ms", "ratio", "since sent p99 ms", "of the write's p99", "errors")
	}
	for _, row := range watches {
		m := row.Median
		line(w, []string{row.Cell, row.System, milliseconds(m.Commit.P50), milliseconds(m.Commit.P99), milliseconds(m.P50), milliseconds(m.P99), ratio(row.P99Ratio),
			milliseconds(m.Sent.P99), ratio(share(float64(m.Sent.P99), float64(m.Commit.P99))), fmt.Sprint(m.Errors)})
	}
	if len(watches) > 0 {
		fmt.Fprint(w, "\nevent: behind the write's acknowledgement, 0 if before it; since sent: from the sending of the write, so that\n"+
			"the delay behind the commit lies between the two. Ratios of latencies: less is better.\n")
	}
	for _, row := range rows {
		if row.Median.Error != "" {
			if _, err := fmt.Fprintf(w, "\n%s, %d clients, %s: %s\n", row.Cell, row.Clients, row.System, row.Median.Error); err != nil {
				return err
			}
		}
	}
	return nil
}

func ratio(share float64) string {
	if share == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", share)
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/1e6) }

func microseconds(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f", float64(d)/1e3)
}

func thousands(rate float64) string {
	digits := fmt.Sprintf("%.0f", rate)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
