//! Discovery, OpenAPI and health over TLS: forms, content types, ETags, audiences, and what is said
//! while starting.

mod documents;
mod openapi;
mod starting;
#[path = "../admit_requests/support.rs"]
mod support;
mod widgets;
