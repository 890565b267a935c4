//! Which resources exist: from the stored `SharedResourceDefinition`s to what is served.

mod catalog;

pub use catalog::{
    Catalog, Column, Exposure, NamespaceDeletion, ScalePaths, ServedResource, ServedVersion,
    SharingScope,
};
