//! An etcd v3 server over a SQL database.

pub mod replica;
