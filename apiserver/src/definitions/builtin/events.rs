//! `Event`, as the core group and `events.k8s.io` have it: one stored object, which goes by itself after a while.
//!
//! Both are only served where no cluster's own events are. Rights are asked, and objects stored, under `events.helium.dev`.

use std::sync::Arc;

use helium_apimachinery::event;

use super::{HELIUM_GROUP, builtin};
use crate::definitions::catalog::{Exposure, Resource, Special};

/// Both views.
pub(super) fn events() -> [Arc<Resource>; 2] {
    ["", event::GROUP].map(|group| {
        builtin(
            event::definition(group),
            Exposure::Direct,
            HELIUM_GROUP,
            Special::Event,
        )
    })
}
