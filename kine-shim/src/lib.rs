//! kine-shim
