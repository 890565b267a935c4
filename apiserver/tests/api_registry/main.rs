//! The registry as its clients see it: requests in, answers out, over a store of the test's own.
//!
//! The HTTP layers around it have their own suite; here a request is classified as they do it and handed to the
//! registry, so that many servers over one store fit into one test.

mod bad_input;
mod crud;
mod custom_resource_definitions;
mod definitions;
mod departures;
mod detached;
mod elections;
mod events;
mod failover;
mod guards;
mod leases;
mod leaving;
mod lists;
mod members;
mod origins;
mod outages;
mod patches;
mod reconnects;
mod starts;
mod store;
mod subresources;
mod support;
mod watches;
mod writers;
