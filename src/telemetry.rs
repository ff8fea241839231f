//! Logs: one line per fact, as text for people or as JSON for machines.
//!
//! Lines go to standard error through a bounded queue of their own thread: when nobody reads them,
//! lines are dropped (and counted) rather than requests held up. Control characters in what senders
//! wrote are escaped.

use std::any::Any;
use std::fmt;
use std::io::{IsTerminal, Write as _};

use tracing::field::Field;
use tracing::{Dispatch, Metadata};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How to write logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Form of a line.
    pub format: Format,
    /// A level, or a filter as `tracing-subscriber` reads it.
    pub level: String,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Keeps the log thread running; dropping it writes out what is queued.
pub struct Logs {
    _guard: WorkerGuard,
    dropped: ErrorCounter,
}

impl Logs {
    /// Lines given up because nobody read them fast enough.
    #[must_use]
    pub fn dropped_lines(&self) -> usize {
        self.dropped.dropped_lines()
    }
}

/// Whether `level` is a level or filter that can be understood.
#[must_use]
pub fn is_level(level: &str) -> bool {
    filter(level).is_some()
}

/// A level, or levels of targets: `info,hookgate::forward=debug`.
fn filter(level: &str) -> Option<Targets> {
    let parts: Vec<_> = level.split(',').map(str::trim).collect();
    // A bare word that is no level would be taken for a target, and turn everything else off.
    let is_level = |part: &&str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
    let is_meant = parts
        .iter()
        .all(|part| is_level(part) || part.contains('='));
    is_meant.then(|| parts.join(",").parse().ok()).flatten()
}

/// Whether a line may be written whatever the level asked for. h2 quotes paths that it refuses, and
/// a path may hold a token; and it warns of every flood, so that any peer could fill the log.
fn is_ours_to_write(line: &Metadata<'_>) -> bool {
    line.target() != "h2" && !line.target().starts_with("h2::")
}

/// Starts logging for the whole process; later calls change nothing.
#[must_use]
pub fn start(config: &Config) -> Logs {
    let (sink, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(16_384)
        .finish(std::io::stderr());
    let dropped = sink.error_counter();
    let filter =
        filter(&config.level).unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let terminal = std::io::stderr().is_terminal();
    let as_json = config.format == Format::Json || (config.format == Format::Auto && !terminal);
    // A second start in one process (tests) keeps the first subscriber.
    let _ = lines(sink, filter, terminal, as_json).try_init();
    Logs {
        _guard: guard,
        dropped,
    }
}

/// Writes lines to `sink`.
fn lines<W>(sink: W, filter: Targets, terminal: bool, as_json: bool) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // So that what nobody asked for costs nothing.
    let most = Layer::<Registry>::max_level_hint(&filter).unwrap_or(LevelFilter::TRACE);
    let builder = tracing_subscriber::fmt()
        .with_max_level(most)
        .with_writer(sink)
        .with_ansi(terminal);
    let silence = filter_fn(is_ours_to_write);
    if as_json {
        let lines = builder.json().flatten_event(true).finish();
        lines.with(filter).with(silence).into()
    } else {
        let fields = debug_fn(write_field).delimited(" ");
        let builder = builder.with_target(false).compact();
        let lines = builder.fmt_fields(fields).finish();
        lines.with(filter).with(silence).into()
    }
}

/// The message, or a field with its name; what would end the line or steer a terminal is escaped,
/// since a sender may have written it. JSON has its own rules for that.
fn write_field(to: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(to, "{field}=")?;
    }
    for char in format!("{value:?}").chars() {
        if char.is_control() {
            write!(to, "{}", char.escape_default())?;
        } else {
            to.write_char(char)?;
        }
    }
    Ok(())
}

/// From now on a panic says where it happened, and what only if that is part of the program: a text
/// made of values may hold a secret.
pub fn conceal_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        let (at, text) = (at.unwrap_or_default(), text_of(panic.payload()));
        let _ = writeln!(std::io::stderr(), "hookgate panicked at {at}: {text}");
    }));
}

fn text_of(panic: &(dyn Any + Send)) -> &'static str {
    let fixed = panic.downcast_ref::<&'static str>();
    fixed.copied().unwrap_or("its text is not shown")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps what is written to it.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// In text for people, line ends and colours passed from a displayed value to the terminal.
    #[test]
    fn nobody_can_write_a_line_or_a_colour_of_their_own_into_the_log() {
        let wrote = "a\r\n\u{1b}[31mERROR forged\u{7}\u{9b}m";
        for as_json in [true, false] {
            let kept = Kept::default();
            let sink = {
                let kept = kept.clone();
                move || kept.clone()
            };
            let log = lines(sink, filter("info").unwrap(), false, as_json);
            tracing::dispatcher::with_default(&log, || {
                let shown = format_args!("{wrote}");
                tracing::warn!(detail = wrote, said = %shown, "as a field");
                tracing::warn!("{wrote}");
            });
            let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            assert_eq!(text.lines().count(), 2, "{text:?}");
            let odd = |c: char| c.is_ascii_control() && c != '\n';
            assert!(!text.contains(odd), "{text:?}");
        }
    }

    #[test]
    fn levels_of_targets_are_kept_apart() {
        for (level, wanted) in [
            ("warn", ""),
            ("info", "a b"),
            ("OFF, one=info", "a"),
            ("trace,one=warn", "b c"),
        ] {
            let kept = Kept::default();
            let sink = {
                let kept = kept.clone();
                move || kept.clone()
            };
            let log = lines(sink, filter(level).unwrap(), false, false);
            tracing::dispatcher::with_default(&log, || {
                tracing::info!(target: "one::inner", "a");
                tracing::info!(target: "two", "b");
                tracing::trace!(target: "two", "c");
            });
            let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            let said: Vec<_> = text
                .lines()
                .filter_map(|l| l.split(' ').next_back())
                .collect();
            assert_eq!(said.join(" "), wanted, "{level}");
        }
    }

    #[test]
    fn a_panic_does_not_say_what_was_in_a_value() {
        let text = |panic: Box<dyn Any + Send>| text_of(&*panic);
        assert_eq!(text(Box::new("it cannot be")), "it cannot be");
        assert_eq!(text(Box::new("canary".to_owned())), "its text is not shown");
    }

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_filter() {
        for level in ["info", "WARN", "off", "info,hookgate::forward=debug"] {
            assert!(is_level(level), "{level}");
        }
        for level in ["", "inof", "info,loud", "hookgate=loud", "info;debug"] {
            assert!(!is_level(level), "{level}");
        }
    }
}
