//! Transactions of the KV service.

use bytes::Bytes;
use helium_etcd_proto::etcdserverpb as pb;
use helium_mvcc::{Request, Response, TxnRequest, TxnResponse};

use crate::convert;
use crate::encode::Answer;
use crate::error::{self, Result};
use crate::kv;
use crate::node::Node;
use crate::rpc;

/// `KV.Txn`. One that can only read is answered from memory, like a range.
pub(crate) async fn txn(node: &Node, message: Bytes) -> Result<Bytes> {
    kv::check_size(node, &message)?;
    let request = convert::txn(rpc::decode::<pb::TxnRequest>(message)?)?;
    node.metrics.txns.inc();
    let response = if request.is_read_only() {
        read(node, &request).await?
    } else {
        match kv::propose(node, Request::Txn(request)).await? {
            Response::Txn(response) => response,
            other => return Err(kv::unexpected(&other)),
        }
    };
    rpc::frame(&Answer::new(node.header(response.revision), &response))
}

async fn read(node: &Node, request: &TxnRequest) -> Result<TxnResponse> {
    if !request.is_serializable() {
        kv::barrier(node).await?;
    }
    node.replica
        .read(|state| state.txn_read(request))
        .map_err(|error| error::status(&error))?
        .map_err(error::refused)
}
