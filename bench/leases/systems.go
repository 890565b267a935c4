package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"helium.dev/tests/harness"
)

// system is something that has leases: the servers that clients renew through,
// and all processes whose work it is.
type system struct {
	name    string
	servers []string // host:port
	group   string
	tls     *tls.Config
	// parts are the processes, by what they are.
	parts []part
}

type part struct {
	name string
	pids []int
}

// host is a real kube-apiserver over a real etcd: the yardstick, and what the
// helium-apiservers ask who may do what.
type host struct {
	env       *harness.Env
	dir       string
	ca        *harness.Authority
	port      int
	apiserver *harness.Process
	etcd      *harness.Store
}

const startBound = 2 * time.Minute

// rights are those of the clients, in both groups, and of the helium-apiservers.
const rights = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: renewer}
rules: [{apiGroups: [coordination.k8s.io, coordination.helium.dev], resources: [leases], verbs: [get, create, update]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: renewer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: renewer}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: renewers}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: helium}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: helium-apiserver}]
`

// startSystems starts both systems; ours is the first.
func startSystems(env *harness.Env, profile string) ([]*system, error) {
	h, err := startHost(env)
	if err != nil {
		return nil, err
	}
	client, err := h.clientTLS()
	if err != nil {
		return nil, err
	}
	ours, err := startHelium(h, profile)
	if err != nil {
		return nil, err
	}
	ours.tls = client
	theirs := &system{
		name: "kube-apiserver, etcd", group: "coordination.k8s.io", tls: client, servers: []string{harness.Loopback(h.port)},
		parts: []part{{"kube-apiserver", []int{h.apiserver.PID()}}, {"etcd", []int{h.etcd.PID()}}},
	}
	return []*system{ours, theirs}, nil
}

func startHost(env *harness.Env) (*host, error) {
	h := &host{env: env}
	var err error
	if h.etcd, err = env.StartEtcd("etcd"); err != nil {
		return nil, err
	}
	if h.dir, err = env.Subdir("host"); err != nil {
		return nil, err
	}
	if h.ca, err = harness.NewAuthority(h.dir, "ca"); err != nil {
		return nil, err
	}
	if h.port, err = harness.FreePort(); err != nil {
		return nil, err
	}
	serving, err1 := h.ca.Issue("kube-apiserver", "kube-apiserver", nil, []string{"localhost", "kubernetes.default.svc"})
	public, private, err2 := harness.IssueSigningKeys(h.dir)
	path, err3 := harness.Component("kube-apiserver")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	h.apiserver, err = env.Start(harness.Spec{Name: "kube-apiserver", Path: path, Dir: h.dir, Args: []string{
		"--etcd-servers=http://" + h.etcd.Endpoint, "--bind-address=127.0.0.1", fmt.Sprint("--secure-port=", h.port),
		"--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none",
		"--tls-cert-file=" + serving.Cert, "--tls-private-key-file=" + serving.Key, "--client-ca-file=" + h.ca.File,
		"--service-cluster-ip-range=10.0.0.0/24", "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + public, "--service-account-signing-key-file=" + private,
		"--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount",
	}})
	if err != nil {
		return nil, err
	}
	admin, err := h.kubeconfig("admin", "system:masters")
	if err != nil {
		return nil, err
	}
	kubectl, err := harness.Component("kubectl")
	if err != nil {
		return nil, err
	}
	return h, h.apiserver.WaitReady(startBound, func() error {
		command := exec.Command(kubectl, "--kubeconfig", admin, "apply", "-f", "-")
		command.Stdin = strings.NewReader(rights)
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, output)
		}
		return nil
	})
}

// kubeconfig makes a certificate and a kubeconfig for a user.
func (h *host) kubeconfig(user, group string) (string, error) {
	var groups []string
	if group != "" {
		groups = []string{group}
	}
	pair, err := h.ca.Issue(user, user, groups, nil)
	if err != nil {
		return "", err
	}
	path := filepath.Join(h.dir, user+".kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: host
contexts: [{name: host, context: {cluster: host, user: user}}]
clusters: [{name: host, cluster: {server: "https://%s", certificate-authority: %q}}]
users: [{name: user, user: {client-certificate: %q, client-key: %q}}]
`, harness.Loopback(h.port), h.ca.File, pair.Cert, pair.Key)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// clientTLS is the identity of those who renew.
func (h *host) clientTLS() (*tls.Config, error) {
	pair, err := h.ca.Issue("renewer", "renewer", []string{"renewers"}, nil)
	if err != nil {
		return nil, err
	}
	certificate, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(h.ca.PEM)
	return &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots, ServerName: "localhost"}, nil
}

// startHelium starts three clusters' parts over one PostgreSQL.
func startHelium(h *host, profile string) (*system, error) {
	postgres, err := h.env.StartPostgres("postgres")
	if err != nil {
		return nil, err
	}
	database, err := postgres.CreateDatabase("helium")
	if err != nil {
		return nil, err
	}
	path, err := harness.Server("helium-apiserver", profile)
	if err != nil {
		return nil, err
	}
	s := &system{name: "3 × helium-apiserver, 3 × kine-shim, PostgreSQL", group: "coordination.helium.dev"}
	shims, servers := part{name: "kine-shim"}, part{name: "helium-apiserver"}
	kubeconfig, err1 := h.kubeconfig("helium-apiserver", "")
	serving, err2 := h.ca.Issue("helium-apiserver-serving", "helium-apiserver", nil, []string{"localhost"})
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	for i := 1; i <= 3; i++ {
		cluster := fmt.Sprint("cluster", i)
		shim, err := h.env.StartShim(cluster+"-shim", profile, database)
		if err != nil {
			return nil, err
		}
		port, err := harness.FreePort()
		if err != nil {
			return nil, err
		}
		address := harness.Loopback(port)
		process, err := h.env.Start(harness.Spec{Name: cluster + "-helium", Path: path, Dir: h.dir, Args: []string{
			"--cluster-name=" + cluster, "--bind-address=127.0.0.1", fmt.Sprint("--secure-port=", port),
			"--tls-cert-file=" + serving.Cert, "--tls-private-key-file=" + serving.Key, "--client-ca-file=" + h.ca.File,
			"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
			"--authentication-skip-lookup", "--etcd-servers=http://" + shim.Endpoint, "--etcd-prefix=/helium",
		}})
		if err != nil {
			return nil, err
		}
		if err := process.WaitReady(startBound, h.ready(address)); err != nil {
			return nil, err
		}
		s.servers = append(s.servers, address)
		shims.pids = append(shims.pids, shim.PID())
		servers.pids = append(servers.pids, process.PID())
	}
	s.parts = []part{
		servers, shims, {"PostgreSQL", []int{postgres.PID()}},
		// It answers SubjectAccessReviews here.
		{"kube-apiserver and etcd of the host", []int{h.apiserver.PID(), h.etcd.PID()}},
	}
	return s, nil
}

func (h *host) ready(address string) func() error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(h.ca.PEM)
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}},
	}
	return func() error {
		response, err := client.Get("https://" + address + "/readyz")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	}
}
