package smoke

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// etcd answers these on its client port, and probes and dashboards ask for them.
func TestHTTPEndpointsOfTheClientPort(t *testing.T) {
	read := func(on target, path string) (int, string) {
		response, err := http.Get("http://" + on.endpoint + path)
		if err != nil {
			t.Fatalf("%s%s: %v", on.name, path, err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	for _, path := range []string{"/health", "/version", "/readyz", "/livez", "/health?serializable=true", "/readyz?verbose", "/metrics"} {
		wantCode, want := read(oracle, path)
		gotCode, got := read(subject, path)
		if wantCode != gotCode {
			t.Errorf("%s: status %d, etcd answers %d: %s", path, gotCode, wantCode, got)
		}
		switch path {
		case "/health", "/version", "/health?serializable=true":
			if !slices.Equal(fields(t, want), fields(t, got)) {
				t.Errorf("%s: %s, etcd answers %s", path, got, want)
			}
		case "/readyz", "/livez":
			if strings.TrimSpace(got) != strings.TrimSpace(want) {
				t.Errorf("%s: %q, etcd answers %q", path, got, want)
			}
		}
	}
	if _, text := read(subject, "/metrics"); !strings.Contains(text, "# TYPE ") || !strings.Contains(text, "grpc_server_handled_total") {
		t.Errorf("/metrics lacks grpc_server_handled_total:\n%.500s", text)
	}
}

func fields(t *testing.T, text string) []string {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return slices.Sorted(maps.Keys(object))
}
