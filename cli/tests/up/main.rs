//! `helium up` as a person meets it: alone, and with a real kubectl.

mod command;
mod kubectl;
mod support;
