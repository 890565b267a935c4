//! The control plane as an object: there from the beginning, made by whichever server comes first.

use std::time::Duration;

use helium_apimachinery::meta::Object;
use helium_apimachinery::metadata_rules::{self, CreateContext};
use helium_apimachinery::resource::Scope;
use jiff::Timestamp;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::create::{ORIGIN, set_annotation};
use super::live::Live;
use crate::definitions::builtin::FLEET;
use crate::storage::Store;

/// Pause between tries while the store doesn't answer.
const RETRY: Duration = Duration::from_secs(1);

/// Stores the object unless it is there; tries until the store has answered.
pub(super) async fn ensure(store: Store, live: &Live, cluster: &str, stop: CancellationToken) {
    let served = live.resource.served.first();
    let Some(gvk) = served.map(|served| served.gvk.clone()) else {
        return;
    };
    let mut object = Object::default();
    object.set_gvk(&gvk);
    object.set_name(FLEET);
    object.set(
        "spec",
        json!({"description": "Everything that the clusters of the fleet share"}),
    );
    let context = CreateContext {
        scope: Scope::Cluster,
        namespace: "",
        has_status: false,
        now: Timestamp::now(),
        uid: Uuid::new_v4(),
    };
    if let Err(status) = metadata_rules::prepare_create(&mut object, &context, &mut rand::rng()) {
        tracing::error!(%status, "control plane's object can't be made");
        return;
    }
    set_annotation(&mut object, ORIGIN, Some(cluster));
    let key = live.cache.prefix().key(FLEET);
    let value = live.encode(&object);
    loop {
        match store.create(&key, value.clone()).await {
            // Made now, or there already.
            Ok(_) => return,
            Err(error) => tracing::debug!(%error, "control plane's object not made yet"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}
