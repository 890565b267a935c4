//! Tables and ages, as kubectl prints them.

use jiff::Timestamp;

/// Rows under a head, in columns that are as wide as they must be.
pub(crate) fn render<const COLUMNS: usize>(
    head: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> String {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows.into_iter().map(|row| {
        row.map(|cell| {
            if cell.is_empty() {
                "-".to_owned()
            } else {
                cell
            }
        })
    }));
    let mut widths = [0; COLUMNS];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(widths);
        let padded: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(padded.join("   ").trim_end());
        text.push('\n');
    }
    text
}

/// How long ago, as kubectl writes ages: one unit, or two of the smaller ones.
pub(crate) fn ago(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map_or_else(
        || "-".to_owned(),
        |then| span(now.duration_since(then).as_secs()),
    )
}

/// A number of seconds in the same form; none below zero.
pub(crate) fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m{}s", seconds / 60, seconds % 60),
        7_200..172_800 => format!("{}h{}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Prints what was asked for. Whoever reads may have seen enough.
pub(crate) fn print(text: &str) {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    let _closed = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_empty_cells_are_dashes() {
        let rows = [
            ["eu-1".to_owned(), String::new()],
            ["a".to_owned(), "b".to_owned()],
        ];
        assert_eq!(
            render(["NAME", "X"], rows),
            "NAME   X\neu-1   -\na      b\n"
        );
    }

    #[test]
    fn ages_have_one_unit_or_two_small_ones() {
        for (seconds, text) in [
            (-5, "0s"),
            (119, "119s"),
            (125, "2m5s"),
            (7_300, "2h1m"),
            (200_000, "2d"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
