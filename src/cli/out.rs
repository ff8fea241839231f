//! Printing: to standard output what was asked for, to standard error what went wrong.
//!
//! A reader that has gone away (`hookgate providers | head`) is no reason to complain. Colour only on
//! a terminal, and not where `NO_COLOR` is set (no-color.org).

use std::fmt::{self, Display};
use std::io::{BufRead as _, IsTerminal as _, Write};

use anstyle::{AnsiColor, Style};

use super::Failure;

/// A line of what was asked for.
pub(super) fn line(text: impl Display) {
    let _ = writeln!(anstream::stdout().lock(), "{text}");
}

/// A whole document of what was asked for.
pub(super) fn text(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
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

/// How far something is, on one line that the next one replaces; `None` clears it. Only for people.
pub(super) fn progress(now: Option<&str>) {
    let mut stderr = std::io::stderr().lock();
    if stderr.is_terminal() {
        let _ = write!(stderr, "\r\x1b[K{}", now.unwrap_or_default());
        let _ = stderr.flush();
    }
}

/// Asks a person.
///
/// # Errors
/// Nobody is there to answer: a usage error that names `--yes`.
pub(super) fn agrees(question: &str) -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::Usage(format!(
            "{question} Nobody is there to answer: add --yes"
        )));
    }
    let _ = write!(std::io::stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    read.map_err(|error| Failure::Failed(format!("cannot read the answer: {error}")))?;
    Ok(matches!(&*answer.trim().to_lowercase(), "y" | "yes"))
}

/// What was asked for, as JSON for programs.
pub(super) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| Failure::Failed(error.to_string()))?;
    line(escaped(&text));
    Ok(())
}

/// JSON that means the same, without what could drive the terminal or turn a line around: these can
/// only stand in its strings.
pub(super) fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unseen(c) && c != '\n' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                text += &format!("\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// Some text and how it looks on a terminal.
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            style: Style::new(),
        }
    }
}

impl Cell {
    fn coloured(text: &str, colour: Option<AnsiColor>) -> Self {
        Self {
            text: text.to_owned(),
            style: Style::new().fg_color(colour.map(Into::into)),
        }
    }

    /// Where an event stands.
    pub(super) fn state(state: &str) -> Self {
        Self::coloured(
            state,
            match state {
                "delivered" => Some(AnsiColor::Green),
                "pending" => Some(AnsiColor::Yellow),
                "dead" => Some(AnsiColor::Red),
                _ => None,
            },
        )
    }

    /// What happened to an event or a request.
    pub(super) fn change(change: &str) -> Self {
        let padded = format!("{change:9}");
        Self::coloured(
            &padded,
            match change {
                "delivered" => Some(AnsiColor::Green),
                "retry" => Some(AnsiColor::Yellow),
                "dead" | "rejected" => Some(AnsiColor::Red),
                _ => None,
            },
        )
    }
}

impl Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}{}",
            self.style,
            self.text,
            self.style.render_reset()
        )
    }
}

/// Rows as columns, each as wide as its widest cell.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Vec<Cell>>,
    /// The column that gives way on a narrow terminal.
    cut: Option<usize>,
}

impl Table {
    /// A table with this heading, or with none.
    pub(super) fn new(heading: &[&str]) -> Self {
        let heading: Vec<_> = heading.iter().map(|name| Cell::from(*name)).collect();
        Self {
            rows: Vec::from_iter((!heading.is_empty()).then_some(heading)),
            cut: None,
        }
    }

    /// Cells of this column may be cut where the terminal is too narrow; to a file all is written.
    pub(super) fn may_be_cut(&mut self, column: usize) {
        self.cut = Some(column);
    }

    pub(super) fn row(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    pub(super) fn print(&self) {
        for text in self.lines(terminal_width()) {
            line(text);
        }
    }

    fn lines(&self, width_max: Option<usize>) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths: Vec<_> = (0..columns).map(|column| self.width(column)).collect();
        let total = widths.iter().sum::<usize>() + columns.saturating_sub(1) * 2;
        let excess = width_max.map_or(0, |max| total.saturating_sub(max));
        if let Some(width) = self.cut.and_then(|column| widths.get_mut(column)) {
            *width = width.saturating_sub(excess).max((*width).min(CUT_MIN));
        }
        let lines = self.rows.iter().map(|row| {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| padded(cell, *width));
            let mut text = cells.collect::<Vec<_>>().join("  ");
            text.truncate(text.trim_end().len());
            text
        });
        lines.collect()
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.text.chars().count())
            .max()
            .unwrap_or(0)
    }
}

/// Columns are not cut shorter than this.
const CUT_MIN: usize = 8;

/// A cell of exactly this width.
fn padded(cell: &Cell, width: usize) -> String {
    let length = cell.text.chars().count();
    if length > width {
        let kept: String = cell.text.chars().take(width.saturating_sub(1)).collect();
        return format!("{}{kept}…{}", cell.style, cell.style.render_reset());
    }
    let room = " ".repeat(width - length);
    format!("{cell}{room}")
}

/// Columns of the terminal that standard output is, if it is one.
fn terminal_width() -> Option<usize> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stdout).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Rows as columns; the first row is the heading.
pub(super) fn table(rows: &[Vec<String>]) {
    let mut table = Table::default();
    for row in rows {
        table.row(row.iter().map(|text| Cell::from(text.as_str())).collect());
    }
    table.print();
}

/// What senders and apps wrote, without what could drive the terminal or turn a line around.
pub(super) fn printable(text: &str) -> String {
    let shown = |c| if is_unseen(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// Whether a character shows as nothing, but does something to what is around it.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{feff}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["SOURCE", "TYPE", "STATE"]);
        table.may_be_cut(1);
        table.row(vec![
            "stripe".into(),
            "invoice.payment_failed".into(),
            "dead".into(),
        ]);
        table
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        assert_eq!(
            table().lines(None),
            [
                "SOURCE  TYPE                    STATE",
                "stripe  invoice.payment_failed  dead"
            ]
        );
    }

    #[test]
    fn one_column_gives_way_on_a_narrow_terminal_but_never_vanishes() {
        assert_eq!(
            table().lines(Some(30)),
            [
                "SOURCE  TYPE             STATE",
                "stripe  invoice.paymen…  dead"
            ]
        );
        assert_eq!(table().lines(Some(1))[1], "stripe  invoice…  dead");
    }

    #[test]
    fn what_could_drive_a_terminal_is_replaced() {
        assert_eq!(
            printable("a\u{1b}[2Jb\u{9b}c\u{202e}d\u{200b}é"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}é"
        );
    }

    #[test]
    fn json_is_escaped_where_a_terminal_could_be_driven() {
        let value =
            serde_json::json!({ "a\u{7f}": ["\u{1b}[2J\u{9b}", "\u{202e}\u{61c}é\u{1f600}\n"] });
        let text = escaped(&serde_json::to_string_pretty(&value).unwrap());
        let told = r#"{ "a\u007f": [ "\u001b[2J\u009b", "\u202e\u061cé😀\n" ] }"#;
        let words: Vec<_> = text.split_whitespace().collect();
        assert_eq!(words.join(" "), told);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, value);
    }

    #[test]
    fn colour_does_not_count_as_width() {
        let mut table = Table::new(&[]);
        table.row(vec![Cell::state("dead"), "x".into()]);
        table.row(vec![Cell::state("delivered"), "y".into()]);
        let lines = table.lines(None);
        assert!(lines[0].contains("dead\u{1b}[0m       x"), "{lines:?}");
    }
}
