// Command etcd is the real etcd server and the real etcdctl in one binary,
// built from their published modules. The name by which it is called decides:
// "etcdctl" (a link to it) is the client, anything else the server.
package main

import (
	"os"
	"path/filepath"

	"go.etcd.io/etcd/etcdctl/v3/ctlv3"
	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	if filepath.Base(os.Args[0]) == "etcdctl" {
		ctlv3.MustStart()
		return
	}
	etcdmain.Main(os.Args)
}
