//! `helium drill`, as a person uses it: relays, processes that are broken and healed, and judgement. With programs that do nothing
//! in the place of servers; a real fleet is drilled by `tests/setup`.

mod judging;
mod parts;
mod relay;
mod support;
