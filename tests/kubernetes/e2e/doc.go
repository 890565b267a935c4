// Package e2e shows Helium with three real Kubernetes clusters on one machine.
//
// A cluster here is a kube-apiserver and a kube-controller-manager of their
// own, with their own certificates, over a prefix of one etcd; beside them run
// a kine-shim and a helium-apiserver. The three shims share one PostgreSQL.
// There is no kube-proxy: a Service of type ExternalName that names localhost
// leads each aggregator to its own helium-apiserver.
package e2e
