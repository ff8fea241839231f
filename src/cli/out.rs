//! Printing: to standard output what was asked for, to standard error what went wrong.
//!
//! A reader that has gone away (`hookgate providers | head`) is no reason to complain.

use std::fmt::Display;
use std::io::Write;

use super::Failure;

/// A line of what was asked for.
pub(super) fn line(text: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// An error for people.
pub(super) fn error(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "error: {}", message.trim_end());
}

/// What a person should know although it is no error.
pub(super) fn warning(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "warning: {}", message.trim_end());
}

/// What belongs to the outcome, but not into it.
pub(super) fn note(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "note: {}", message.trim_end());
}

/// What was asked for, as JSON for programs.
pub(super) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value);
    line(text.map_err(|error| Failure::Failed(error.to_string()))?);
    Ok(())
}

/// Rows as columns, each as wide as its widest cell; the first row is the heading.
pub(super) fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    for row in rows {
        let cells: Vec<_> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        line(cells.join("  ").trim_end());
    }
}

/// What senders and apps wrote, without what could drive the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
