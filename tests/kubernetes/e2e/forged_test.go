package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"helium.dev/tests/harness"
)

// caller is somebody who sends requests by hand.
type caller struct {
	certificate *harness.Pair
	token       string
	// claims are the headers by which a front proxy says who is asking.
	claims bool
}

// ask reads Festivals at an address as the caller.
func (c *cluster) ask(t *testing.T, address string, ca []byte, who caller) (code int, message string, err error) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	config := &tls.Config{RootCAs: roots, ServerName: "localhost"}
	if who.certificate != nil {
		pair, err := tls.LoadX509KeyPair(who.certificate.Cert, who.certificate.Key)
		if err != nil {
			t.Fatal(err)
		}
		// Sent whatever authorities the server asks for.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		"https://"+address+"/apis/innsmouth.example.com/v1/namespaces/default/festivals", nil)
	if err != nil {
		t.Fatal(err)
	}
	if who.token != "" {
		request.Header.Set("Authorization", "Bearer "+who.token)
	}
	if who.claims {
		request.Header.Set("X-Remote-User", "admin")
		request.Header.Set("X-Remote-Group", "system:masters")
	}
	response, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, "", err
	}
	var status struct{ Kind, Message string }
	if err := json.Unmarshal(body, &status); err != nil {
		return response.StatusCode, string(body), nil
	}
	return response.StatusCode, status.Message, nil
}

// Only the cluster's own front proxy may say who is asking. Whoever else sends
// its headers is who he is: nobody, the owner of a certificate or of a token.
func TestForgedFrontProxyHeaders(t *testing.T) {
	var foreign *harness.Authority
	for i, c := range clusters {
		t.Run(c.name, func(t *testing.T) {
			dir, err := c.env.Subdir(c.name + "-forged")
			if err != nil {
				t.Fatal(err)
			}
			if foreign, err = harness.NewAuthority(dir, "foreign"); err != nil {
				t.Fatal(err)
			}
			issue := func(a *harness.Authority, file, name string) *harness.Pair {
				pair, err := a.Issue("forged-"+file, name, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				return &pair
			}
			neighbour := clusters[(i+1)%len(clusters)]
			token := strings.TrimSpace(c.do(t, "", "create", "token", "default", "-n", "default"))
			account := `"system:serviceaccount:default:default" cannot list`
			for name, test := range map[string]struct {
				who  caller
				code int
				want string
			}{
				// So that the others are refused for what they lack.
				"the front proxy":                 {caller{certificate: issue(c.frontProxyCA, "real", "front-proxy-client"), claims: true}, 200, ""},
				"no certificate":                  {caller{claims: true}, 403, `"system:anonymous" cannot list`},
				"a user's certificate":            {caller{certificate: issue(c.ca, "user", "front-proxy-client"), claims: true}, 403, `"front-proxy-client" cannot list`},
				"another name of the front proxy": {caller{certificate: issue(c.frontProxyCA, "other", "somebody"), claims: true}, 401, "Unauthorized"},
				"another cluster's front proxy":   {caller{certificate: issue(neighbour.frontProxyCA, "neighbour", "front-proxy-client"), claims: true}, 401, "Unauthorized"},
				"an unknown authority":            {caller{certificate: issue(foreign, "foreign", "front-proxy-client"), claims: true}, 401, "Unauthorized"},
				"a token":                         {caller{token: token, claims: true}, 403, account},
				"another cluster's token":         {caller{token: strings.TrimSpace(neighbour.do(t, "", "create", "token", "default", "-n", "default")), claims: true}, 401, "Unauthorized"},
			} {
				code, message, err := c.ask(t, harness.Loopback(c.heliumPort), c.servingCA.PEM, test.who)
				switch {
				case err != nil && test.code == 401 && test.who.certificate != nil && strings.Contains(err.Error(), "tls:"):
					// Turned away before a word was said.
				case err != nil || code != test.code || !strings.Contains(message, test.want):
					t.Errorf("%s: %d %q, %v; expected %d with %q", name, code, message, err, test.code, test.want)
				}
			}
			// Through the cluster's own kube-apiserver the headers are not the caller's to set, either.
			code, message, err := c.ask(t, harness.Loopback(c.apiPort), c.ca.PEM, caller{token: token, claims: true})
			if err != nil || code != 403 || !strings.Contains(message, account) {
				t.Errorf("through the kube-apiserver: %d %q, %v", code, message, err)
			}
		})
	}
}

const clashing = `
apiVersion: helium.dev/v1
kind: SharedResourceDefinition
metadata: {name: gadgets.clash.example.com}
spec:
  group: clash.example.com
  scope: Namespaced
  names: {plural: gadgets, singular: gadget, kind: Gadget}
  sharing: {scope: Fleet}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}}
`

// A group that one cluster serves itself stays that cluster's, and the
// definition says where and why; the others serve it. When the cluster's own is
// gone it is served there as well, and a definition that is deleted leaves nothing.
func TestDefinitionThatClashesInOneCluster(t *testing.T) {
	startAgents(t)
	own := clusters[1]
	custom := strings.NewReplacer("helium.dev/v1", "apiextensions.k8s.io/v1", "SharedResourceDefinition", "CustomResourceDefinition", "  sharing: {scope: Fleet}\n", "").Replace(clashing)
	own.do(t, custom, "apply", "-f", "-")
	own.do(t, "", "wait", "crd/gadgets.clash.example.com", "--for=condition=Established", "--timeout=60s")
	clusters[0].do(t, clashing, "apply", "-f", "-")
	t.Cleanup(func() {
		for _, c := range clusters {
			_, _ = c.kubectl("", "delete", "crd/gadgets.clash.example.com", "--ignore-not-found", "--wait=false")
		}
		_, _ = clusters[0].kubectl("", "delete", "sharedresourcedefinition/gadgets.clash.example.com", "--ignore-not-found", "--wait=false")
	})
	registered := func(c *cluster, want ...string) {
		t.Helper()
		err := harness.WaitFor("the definition says what became of it", time.Minute, func() error {
			got, err := c.kubectl("", "get", "sharedresourcedefinition", "gadgets.clash.example.com",
				"-o", `jsonpath={.status.conditions[?(@.type=="Registered")]}`)
			for _, part := range want {
				if err == nil && !strings.Contains(got, part) {
					err = fmt.Errorf("%q lacks %q", got, part)
				}
			}
			return err
		})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
	for _, c := range clusters {
		registered(c, `"status":"False"`, "GroupConflict", own.name, "CustomResourceDefinition gadgets.clash.example.com")
	}
	gadget := `{apiVersion: clash.example.com/v1, kind: Gadget, metadata: {name: one, namespace: default}, spec: {size: 1}}`
	for _, c := range []*cluster{clusters[0], clusters[2]} {
		if err := c.waitAvailable(groupVersion{"clash.example.com", "v1"}); err != nil {
			t.Fatal(err)
		}
	}
	clusters[0].do(t, gadget, "create", "-f", "-")
	clusters[2].do(t, "", "get", "gadget", "one", "-n", "default")
	if out, err := own.kubectl("", "get", "gadget", "one", "-n", "default"); err == nil || !strings.Contains(err.Error(), "NotFound") {
		t.Errorf("%s serves its own gadgets and no others: %q, %v", own.name, out, err)
	}
	own.do(t, strings.Replace(gadget, "one", "mine", 1), "create", "-f", "-")
	own.do(t, "", "delete", "gadget", "mine", "-n", "default")

	own.do(t, "", "delete", "crd/gadgets.clash.example.com", "--timeout=60s")
	registered(own, `"status":"True"`)
	if err := own.waitAvailable(groupVersion{"clash.example.com", "v1"}); err != nil {
		t.Fatal(err)
	}
	err := harness.WaitFor("the shared gadget is there", time.Minute, func() error {
		_, err := own.kubectl("", "get", "gadget", "one", "-n", "default")
		return err
	})
	if err != nil {
		t.Error(err)
	}
	own.do(t, "", "delete", "gadget", "one", "-n", "default", "--timeout=60s")
	own.do(t, "", "delete", "sharedresourcedefinition/gadgets.clash.example.com", "--timeout=60s")
	for _, c := range clusters {
		err := harness.WaitFor(c.name+" keeps nothing of it", time.Minute, func() error {
			left, err := c.kubectl("", "get", "apiservices,clusterroles", "-o", "name")
			if err == nil && strings.Contains(left, "clash.example.com") {
				err = fmt.Errorf("left: %s", left)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// startAgents hands what was registered by hand over to an agent in each
// cluster, until the test ends.
func startAgents(t *testing.T) {
	t.Helper()
	path, err := harness.Server("helium-agent", "debug")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range clusters {
		var byHand []string
		for _, g := range append(builtin, shared...) {
			byHand = append(byHand, "apiservice/"+g.Version+"."+g.Group)
		}
		label := func(text string) {
			if _, err := c.kubectl("", append(append([]string{"label"}, byHand...), "--overwrite", text)...); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		label("app.kubernetes.io/managed-by=helium")
		_, port, _ := strings.Cut(c.heliumWay, ":")
		probe, err := harness.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		agent, err := c.env.Start(harness.Spec{Name: c.name + "-agent", Path: path, Dir: c.dir, Args: []string{
			"--cluster-name=" + c.name, "--kubeconfig=" + c.kubeconfig, "--control-plane-kubeconfig=" + c.direct,
			"--service=helium-system/helium-apiserver:" + port, "--ca-file=" + c.servingCA.File,
			"--leader-elect-namespace=helium-system", "--probe-address=" + harness.Loopback(probe),
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := agent.Stop(); err != nil {
				t.Error(err)
			}
			label("app.kubernetes.io/managed-by-")
		})
	}
}
