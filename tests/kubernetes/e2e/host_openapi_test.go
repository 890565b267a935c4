package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"helium.dev/tests/harness"
)

// documents are the merged OpenAPI documents of a cluster: what Argo CD, helm
// and kubectl read, all kinds of the cluster in one. One reference that leads
// nowhere, or one kind that is defined twice, breaks them for every kind.
type documents struct {
	// kinds are those that v2 defines, as group/version/kind.
	kinds []string
	// problems are what is wrong with any of them.
	problems []string
}

func (c *cluster) openAPI() (documents, error) {
	var all documents
	text, err := c.kubectl("", "get", "--raw", "/openapi/v2")
	if err != nil {
		return all, err
	}
	var v2 map[string]any
	if err := json.Unmarshal([]byte(text), &v2); err != nil {
		return all, err
	}
	all.check("v2", v2)
	definedBy := map[string][]string{}
	definitions, _ := v2["definitions"].(map[string]any)
	for name, definition := range definitions {
		list, _ := definition.(map[string]any)["x-kubernetes-group-version-kind"].([]any)
		for _, entry := range list {
			kind := fmt.Sprint(entry.(map[string]any)["group"], "/", entry.(map[string]any)["version"], "/", entry.(map[string]any)["kind"])
			definedBy[kind] = append(definedBy[kind], name)
		}
	}
	for kind, names := range definedBy {
		all.kinds = append(all.kinds, kind)
		if len(names) > 1 {
			all.problems = append(all.problems, fmt.Sprintf("v2: %s is defined by %v", kind, names))
		}
	}

	text, err = c.kubectl("", "get", "--raw", "/openapi/v3")
	if err != nil {
		return all, err
	}
	var root struct {
		Paths map[string]struct {
			URL string `json:"serverRelativeURL"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(text), &root); err != nil {
		return all, err
	}
	for path, entry := range root.Paths {
		text, err := c.kubectl("", "get", "--raw", entry.URL)
		if err != nil {
			return all, err
		}
		var v3 map[string]any
		if err := json.Unmarshal([]byte(text), &v3); err != nil {
			return all, fmt.Errorf("%s: %w", path, err)
		}
		all.check("v3 "+path, v3)
	}
	slices.Sort(all.kinds)
	return all, nil
}

// check notes each reference of a document that leads nowhere in it.
func (d *documents) check(name string, document map[string]any) {
	walk(document, func(reference string) {
		if path, inside := strings.CutPrefix(reference, "#/"); inside {
			var at any = document
			for part := range strings.SplitSeq(path, "/") {
				members, _ := at.(map[string]any)
				at = members[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
			}
			if at != nil {
				return
			}
		}
		d.problems = append(d.problems, fmt.Sprintf("%s: %s leads nowhere", name, reference))
	})
}

// walk visits each reference in a document.
func walk(value any, visit func(reference string)) {
	switch value := value.(type) {
	case map[string]any:
		for key, member := range value {
			if text, ok := member.(string); ok && key == "$ref" {
				visit(text)
			}
			walk(member, visit)
		}
	case []any:
		for _, item := range value {
			walk(item, visit)
		}
	}
}

// waitOpenAPI waits until a cluster's merged documents have, or lack, a kind,
// and checks that they are whole. The cluster's aggregator merges within a minute.
func (c *cluster) waitOpenAPI(t *testing.T, kind string, there bool) documents {
	t.Helper()
	var got documents
	err := harness.WaitFor(fmt.Sprintf("%s: OpenAPI has %s: %v", c.name, kind, there), 3*time.Minute, func() (err error) {
		if got, err = c.openAPI(); err == nil && slices.Contains(got.kinds, kind) != there {
			err = errors.New("not yet")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.problems) > 0 {
		t.Errorf("%s: %d problems, such as %v", c.name, len(got.problems), got.problems[:min(5, len(got.problems))])
	}
	return got
}

func TestMergedOpenAPIStaysWhole(t *testing.T) {
	c := clusters[0]
	c.waitOpenAPI(t, "innsmouth.example.com/v1/Festival", true)
	sharePolicies(t)
	after := c.waitOpenAPI(t, "policies.example.com/v1/Keep", true)
	for _, kind := range []string{"/v1/ConfigMap", "apps/v1/Deployment", "helium.dev/v1/Member", "coordination.helium.dev/v1/Lease"} {
		if !slices.Contains(after.kinds, kind) {
			t.Errorf("%s is missing", kind)
		}
	}
}
