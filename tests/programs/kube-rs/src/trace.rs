//! What a candidate says: one JSON object a line on standard output (`tests/programs/README.md`).

use std::io::Write;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Nanoseconds of `CLOCK_BOOTTIME`, which all processes of a machine share.
pub(crate) fn now() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Prints a line; a program that can't speak ends, since what it does would count as something that it didn't do.
pub(crate) fn say(identity: &str, event: &str, mut more: Value) {
    if let Some(fields) = more.as_object_mut() {
        fields.insert("identity".to_owned(), json!(identity));
        fields.insert("event".to_owned(), json!(event));
        fields.entry("boot").or_insert_with(|| json!(now()));
    }
    let mut output = std::io::stdout().lock();
    if output
        .write_all(format!("{more}\n").as_bytes()) // in one piece
        .and_then(|()| output.flush())
        .is_err()
    {
        std::process::exit(1);
    }
}
