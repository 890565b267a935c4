package e2e

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"text/template"
	"time"

	"helium.dev/tests/harness"
)

// startBound is how long a whole cluster may take to come up on a busy machine.
const startBound = 2 * time.Minute

// setbacks is the flag by which a kine-shim tells helium-apiserver that the store went back in time.
const setbacks = "--incarnation-key=/helium/helium.dev/incarnations/store"

// serviceName is the name by which an aggregator verifies helium-apiserver.
const serviceName = "helium-apiserver.helium-system.svc"

// cluster is one host cluster and its part of Helium.
type cluster struct {
	name string
	dir  string
	env  *harness.Env

	ca, frontProxyCA, servingCA *harness.Authority
	// kubeconfig is an administrator's, through the cluster's kube-apiserver.
	kubeconfig string
	// direct is the same person's, straight to the helium-apiserver.
	direct string

	apiserver, controllers *harness.Process
	startControllers       func() (*harness.Process, error)
	store                  *harness.Store   // what the helium-apiserver uses
	shim, helium           *harness.Process // shim is nil if the store isn't the cluster's own
	agent                  *harness.Process // nil but with failover
	apiPort, heliumPort    int
	// How others reach the two: host:port of themselves, or of a link.
	apiWay, heliumWay string
	links             map[string]*harness.Link
}

// startCluster starts the host part: kube-apiserver and controller manager.
//
// With oneIdentity all its controllers are the user
// system:kube-controller-manager, as in clusters without
// --use-service-account-credentials.
func startCluster(env *harness.Env, name string, store *harness.Store, oneIdentity bool) (*cluster, error) {
	dir, err := env.Subdir(name)
	if err != nil {
		return nil, err
	}
	c := &cluster{name: name, dir: dir, env: env}
	for _, port := range []*int{&c.apiPort, &c.heliumPort} {
		if *port, err = harness.FreePort(); err != nil {
			return nil, err
		}
	}
	if c.apiWay, err = c.way(toAPIServer, harness.Loopback(c.apiPort)); err != nil {
		return nil, err
	}
	if c.heliumWay, err = c.way(toHelium, harness.Loopback(c.heliumPort)); err != nil {
		return nil, err
	}
	for _, a := range []struct {
		to   **harness.Authority
		name string
	}{{&c.ca, "ca"}, {&c.frontProxyCA, "front-proxy-ca"}, {&c.servingCA, "helium-ca"}} {
		if *a.to, err = harness.NewAuthority(dir, a.name); err != nil {
			return nil, err
		}
	}
	serving, err1 := c.ca.Issue("kube-apiserver", "kube-apiserver", nil, []string{"localhost", "kubernetes.default.svc"})
	proxy, err2 := c.frontProxyCA.Issue("front-proxy", "front-proxy-client", nil, nil)
	public, private, err3 := harness.IssueSigningKeys(dir)
	admin, err4 := c.userKubeconfig("admin", "admin", "system:masters")
	rights := ""
	if oneIdentity {
		rights = "system:masters" // what the controllers may do is otherwise bound to an account each
	}
	manager, err5 := c.userKubeconfig("controller-manager", "system:kube-controller-manager", rights)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	c.kubeconfig = admin

	if c.apiserver, err = c.start("kube-apiserver", "kube-apiserver",
		"--etcd-servers=http://"+store.Endpoint, "--etcd-prefix=/"+name,
		"--bind-address=127.0.0.1", fmt.Sprint("--secure-port=", c.apiPort),
		"--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none",
		"--tls-cert-file="+serving.Cert, "--tls-private-key-file="+serving.Key, "--client-ca-file="+c.ca.File,
		"--service-cluster-ip-range=10.0.0.0/24", "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+public, "--service-account-signing-key-file="+private,
		"--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount",
		"--requestheader-client-ca-file="+c.frontProxyCA.File, "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-uid-headers=X-Remote-Uid",
		"--proxy-client-cert-file="+proxy.Cert, "--proxy-client-key-file="+proxy.Key,
	); err != nil {
		return nil, err
	}
	c.startControllers = func() (*harness.Process, error) {
		return c.start("kube-controller-manager", "controllers",
			"--kubeconfig="+manager, "--authentication-kubeconfig="+manager, "--authorization-kubeconfig="+manager,
			"--controllers="+strings.Join(controllers(), ","),
			fmt.Sprint("--use-service-account-credentials=", !oneIdentity), "--service-account-private-key-file="+private, "--root-ca-file="+c.ca.File,
			"--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=0",
		)
	}
	return c, nil
}

// controllers are those of kube-controller-manager that the tests need.
func controllers() []string {
	all := []string{"namespace-controller", "garbage-collector-controller", "serviceaccount-controller", "resourcequota-controller"}
	if failing() {
		all = append(all, "deployment-controller", "replicaset-controller")
	}
	return all
}

// start starts a binary with a log named after the cluster.
func (c *cluster) start(binary, name string, args ...string) (*harness.Process, error) {
	path, err := harness.Component(binary)
	if err != nil {
		return nil, err
	}
	return c.env.Start(harness.Spec{Name: c.name + "-" + name, Path: path, Args: args, Dir: c.dir})
}

// waitReady waits until the API answers, starts the controllers, which end by
// themselves if it doesn't, and waits until they have done their first work.
func (c *cluster) waitReady() (err error) {
	err = c.apiserver.WaitReady(startBound, func() error {
		_, err := c.kubectl("", "get", "--raw", "/readyz")
		return err
	})
	if err != nil {
		return err
	}
	if c.controllers == nil {
		c.controllers, err = c.startControllers()
	} else if ended, _ := c.controllers.Ended(); ended {
		err = c.controllers.Restart()
	}
	if err != nil {
		return err
	}
	return c.controllers.WaitReady(startBound, func() error {
		_, err := c.kubectl("", "get", "serviceaccount", "default", "-n", "default")
		return err
	})
}

// userKubeconfig makes a certificate and a kubeconfig for a user of the cluster.
func (c *cluster) userKubeconfig(file, user, group string) (string, error) {
	var groups []string
	if group != "" {
		groups = []string{group}
	}
	p, err := c.ca.Issue(file, user, groups, nil)
	if err != nil {
		return "", err
	}
	return c.writeKubeconfig(file, "https://"+harness.Loopback(c.apiPort), c.ca.File, p)
}

func (c *cluster) writeKubeconfig(file, server, ca string, user harness.Pair) (string, error) {
	path := filepath.Join(c.dir, file+".kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: %[1]s
contexts: [{name: %[1]s, context: {cluster: %[1]s, user: %[1]s}}]
clusters: [{name: %[1]s, cluster: {server: %[2]q, certificate-authority: %[3]q}}]
users: [{name: %[1]s, user: {client-certificate: %[4]q, client-key: %[5]q}}]
`, c.name, server, ca, user.Cert, user.Key)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// kubectl runs the real kubectl as the cluster's administrator.
func (c *cluster) kubectl(stdin string, args ...string) (string, error) {
	return kubectl(c.kubeconfig, stdin, args...)
}

func kubectl(kubeconfig, stdin string, args ...string) (string, error) {
	path, err := harness.Component("kubectl")
	if err != nil {
		return "", &harness.FinalError{Err: err}
	}
	command := exec.Command(path, append([]string{"--kubeconfig", kubeconfig, "--request-timeout=30s"}, args...)...)
	command.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// kubectlWithWarnings returns what kubectl prints on both of its outputs.
func kubectlWithWarnings(kubeconfig string, args ...string) (string, error) {
	path, err := harness.Component("kubectl")
	if err != nil {
		return "", err
	}
	out, err := exec.Command(path, append([]string{"--kubeconfig", kubeconfig, "--request-timeout=30s"}, args...)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// startHelium starts the cluster's shim and API server on the common database.
// A store that is given is used instead of the shim.
func (c *cluster) startHelium(database string, store *harness.Store) (err error) {
	c.store = store
	if store == nil {
		if database, err = c.databaseWay(database); err != nil {
			return err
		}
		if c.store, err = c.env.StartShim(c.name+"-shim", "debug", database, setbacks); err != nil {
			return err
		}
		c.shim = c.store.Process
	}
	storeWay, err := c.way(toStore, c.store.Endpoint)
	if err != nil {
		return err
	}
	path, err := harness.Server("helium-apiserver", "debug")
	if err != nil {
		return err
	}
	serving, err1 := c.servingCA.Issue("helium-apiserver-serving", "helium-apiserver", nil, []string{serviceName, "localhost"})
	host, err2 := c.userKubeconfig("helium-apiserver", "helium-apiserver", "")
	server := "https://" + harness.Loopback(c.heliumPort)
	var err3 error
	c.direct, err3 = c.writeKubeconfig("direct", server, c.servingCA.File,
		harness.Pair{Cert: filepath.Join(c.dir, "admin.crt"), Key: filepath.Join(c.dir, "admin.key")})
	if _, err4 := c.kubectl(rights, "apply", "-f", "-"); err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		return errors.Join(err1, err2, err3, err4)
	}
	c.helium, err = c.env.Start(harness.Spec{Name: c.name + "-helium", Path: path, Dir: c.dir, Args: []string{
		"--cluster-name=" + c.name, "--bind-address=127.0.0.1", fmt.Sprint("--secure-port=", c.heliumPort),
		"--tls-cert-file=" + serving.Cert, "--tls-private-key-file=" + serving.Key,
		"--kubeconfig=" + host, "--authentication-kubeconfig=" + host, "--authorization-kubeconfig=" + host,
		"--etcd-servers=http://" + storeWay, "--etcd-prefix=/helium",
		"--state-dir=" + filepath.Join(c.dir, "helium-state"),
	}})
	return err
}

// waitHelium waits until the helium-apiserver says it is ready.
func (c *cluster) waitHelium() error {
	return c.helium.WaitReady(startBound, func() error {
		_, err := kubectl(c.direct, "", "get", "--raw", "/readyz")
		return err
	})
}

// rights are what a helium-apiserver needs in its host cluster.
const rights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: helium-apiserver-delegates}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:auth-delegator}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: helium-apiserver}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: helium-apiserver-reads-authentication, namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: extension-apiserver-authentication-reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: helium-apiserver}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: helium-apiserver-namespaces}
rules: [{apiGroups: [""], resources: [namespaces], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: helium-apiserver-namespaces}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: helium-apiserver-namespaces}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: helium-apiserver}]
`

var registration = template.Must(template.New("").Parse(`
apiVersion: v1
kind: Namespace
metadata: {name: helium-system}
---
apiVersion: v1
kind: Service
metadata: {name: helium-apiserver, namespace: helium-system}
spec: {type: ExternalName, externalName: localhost}
{{- range .Groups}}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: {{.Version}}.{{.Group}}}
spec:
  group: {{.Group}}
  version: {{.Version}}
  groupPriorityMinimum: 1000
  versionPriority: 100
  caBundle: {{$.CA}}
  service: {namespace: helium-system, name: helium-apiserver, port: {{$.Port}}}
{{- end}}
`))

// groupVersion is one API that the fleet serves.
type groupVersion struct{ Group, Version string }

// register makes the cluster's aggregator hand the groups to helium-apiserver,
// and waits until it says that they are available.
func (c *cluster) register(groups ...groupVersion) error {
	var text strings.Builder
	_, port, err := net.SplitHostPort(c.heliumWay)
	if err != nil {
		return err
	}
	err = registration.Execute(&text, map[string]any{"Groups": groups, "CA": base64.StdEncoding.EncodeToString(c.servingCA.PEM), "Port": port})
	if err != nil {
		return err
	}
	if _, err := c.kubectl(text.String(), "apply", "-f", "-"); err != nil {
		return err
	}
	return c.waitAvailable(groups...)
}

func (c *cluster) waitAvailable(groups ...groupVersion) error {
	for _, g := range groups {
		name := g.Version + "." + g.Group
		err := harness.WaitFor(c.name+": APIService "+name+" is available", 2*time.Minute, func() error {
			got, err := c.kubectl("", "get", "apiservice", name, "-o", `jsonpath={.status.conditions[?(@.type=="Available")]}`)
			if err == nil && !strings.Contains(got, `"status":"True"`) {
				err = errors.New(got)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// crash kills everything that belongs to the cluster, at once.
func (c *cluster) crash() {
	for _, p := range c.parts() {
		p.Kill()
	}
}

// revive starts everything again, in the order in which it can succeed
// (whatever restarts pods would find it by trying), and waits until it serves.
func (c *cluster) revive() error {
	first := []*harness.Process{c.apiserver}
	if c.shim != nil {
		first = append(first, c.shim)
	}
	for _, p := range first {
		if err := p.Restart(); err != nil {
			return err
		}
	}
	if err := c.waitReady(); err != nil {
		return err
	}
	if err := c.helium.Restart(); err != nil {
		return err
	}
	return c.waitHelium()
}

func (c *cluster) parts() []*harness.Process {
	all := []*harness.Process{c.helium, c.controllers, c.apiserver}
	if c.shim != nil {
		all = append(all, c.shim)
	}
	return all
}

// inParallel runs a step for every cluster at once.
func inParallel(clusters []*cluster, step func(*cluster) error) error {
	errs := make([]error, len(clusters))
	var wg sync.WaitGroup
	for i, c := range clusters {
		wg.Go(func() {
			if err := step(c); err != nil {
				errs[i] = fmt.Errorf("%s: %w", c.name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
