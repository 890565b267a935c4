// Package smoke compares a server of the etcd API with a real etcd, through
// the real etcdctl and clientv3: both get the same requests in the same order
// from revision 1 on, so that every answer must be the same, revisions included.
//
// The server is a kine-shim on SQLite that the test starts, or on PostgreSQL
// with SMOKE_DATABASE=postgres. With SMOKE_ENDPOINT=host:port it is whatever empty store listens there.
package smoke
