//! Every transition of the machine, with its reason: one member on a bench, its surroundings told step by step.
#![allow(clippy::unwrap_used)]

mod transitions {
    mod bench;

    mod claims;
    mod endings;
    mod handover;
    mod payload;
    mod restart;
    mod store;
    mod strict;
}
