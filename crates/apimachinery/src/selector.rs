//! Label and field selectors: which objects a list or watch is about.
//!
//! A selector is parsed once per request and then asked about every object and event, so matching
//! allocates nothing. The grammar and the words of its errors are those of Kubernetes
//! (documentation, "Labels and selectors" and "Field selectors").

mod fields;
mod labels;
mod parse;

pub use fields::FieldSelector;
pub use labels::{LabelSelector, Operator, Requirement};
