package measure

import (
	"encoding/json"
	"fmt"
	"io"
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

func printLines(w io.Writer, rows []Row, line func(io.Writer, []string), rule bool) error {
	header := []string{"cell", "clients", "system", "requests/s", "ratio", "p50 ms", "p99 ms", "errors", "server µs", "client µs"}
	line(w, header)
	if rule {
		line(w, strings.Fields("--- ---: --- ---: ---: ---: ---: ---: ---: ---:"))
	}
	for _, row := range rows {
		m := row.Median
		columns := []string{row.Cell, fmt.Sprint(row.Clients), row.System, "–", "–",
			milliseconds(m.P50), milliseconds(m.P99), fmt.Sprint(m.Errors), microseconds(m.ServerCPU), microseconds(m.ClientCPU)}
		if row.Ratio != 0 || m.Rate != 0 {
			columns[3], columns[4] = thousands(m.Rate), fmt.Sprintf("%.2f", row.Ratio)
		}
		line(w, columns)
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
