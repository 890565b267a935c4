package e2e

import (
	"fmt"
	"net/url"
	"os"

	"helium.dev/tests/harness"
)

// The ways between the parts of a cluster that can be cut.
const (
	toAPIServer = "program to kube-apiserver"
	toHelium    = "kube-apiserver to helium-apiserver"
	toStore     = "helium-apiserver to kine-shim"
	toDatabase  = "kine-shim to PostgreSQL"
	toOwn       = "agent to kube-apiserver"
	toFleet     = "agent to helium-apiserver"
)

// linked says that the ways can be cut: each is a [harness.Link] then.
func linked() bool { return os.Getenv("E2E_LINKS") == "1" || failing() }

// failing says that the clusters have what failover takes: agents, which
// register what is shared, controllers that make pods, and stand-ins for nodes.
func failing() bool { return os.Getenv("E2E_FAILOVER") == "1" }

// way returns the address by which a target, host:port, is to be reached.
func (c *cluster) way(name, target string) (string, error) {
	if !linked() {
		return target, nil
	}
	link, err := harness.NewLink(target)
	if err != nil {
		return "", err
	}
	if c.links == nil {
		c.links = map[string]*harness.Link{}
	}
	if c.links[name] != nil {
		return "", fmt.Errorf("two ways from %s", name)
	}
	c.links[name] = link
	return link.Address(), nil
}

// databaseWay is way for the host in a database's URL.
func (c *cluster) databaseWay(database string) (string, error) {
	parsed, err := url.Parse(database)
	if err != nil {
		return "", err
	}
	parsed.Host, err = c.way(toDatabase, parsed.Host)
	return parsed.String(), err
}
